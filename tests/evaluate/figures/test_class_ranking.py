import numpy as np
import pytest
from sklearn import metrics as reference

from tilepipe.components.evaluate.figures import class_ranking as ranking


def answers(classes, tiles, seed=0, absent=()):
    rng = np.random.default_rng(seed)
    labels = rng.choice([c for c in range(classes) if c not in absent], tiles).astype(np.int64)
    logits = rng.normal(size=(tiles, classes))
    logits[np.arange(tiles), labels] += 1
    odds = np.exp(logits)
    return labels, (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)


def test_areas_are_those_of_scikit_learn_and_undefined_without_tiles():
    labels, probabilities = answers(5, 300, absent=(2,))
    found = ranking.rank_classes(labels, probabilities)
    assert np.isnan([found.average_precision[2], found.auc[2]]).all()
    for index in (0, 1, 3, 4):
        expected = reference.average_precision_score(labels == index, probabilities[:, index])
        assert found.average_precision[index] == pytest.approx(expected)
        assert found.auc[index] == pytest.approx(reference.roc_auc_score(labels == index, probabilities[:, index]))
    assert found.scalars()["macro_auc"] == pytest.approx(np.nanmean(found.auc))


def test_curves_are_those_of_scikit_learn():
    labels, probabilities = answers(3, 40)
    precision_recall, roc = ranking.rank_classes(labels, probabilities).curves[2]
    scores = probabilities[:, 2].astype(np.float64)
    precision, recall, _ = reference.precision_recall_curve(labels == 2, scores, drop_intermediate=True)
    np.testing.assert_array_equal((precision_recall.x, precision_recall.y), (recall[::-1], precision[::-1]))
    np.testing.assert_array_equal((roc.x, roc.y), reference.roc_curve(labels == 2, scores)[:2])


def test_a_class_with_all_tiles_has_a_precision_but_no_auc():
    found = ranking.rank_classes(np.zeros(4, np.int64), np.full((4, 2), 0.5, np.float32))
    assert found.scalars() == {"macro_average_precision": 1.0}
    assert [curve is None for one in found.curves for curve in one] == [False, True, True, True]
    assert found.curves[0].precision_recall.x.tolist() == [0, 1]


def test_curves_are_short_and_finite_and_enclose_the_areas():
    labels, probabilities = answers(3, 5000)
    found = ranking.rank_classes(labels, probabilities)
    precision, roc = found.curves[1]
    for curve in (precision, roc):
        assert 2 < len(curve.x) <= ranking.POINTS
        assert np.isfinite(curve.x).all()
        assert np.isfinite(curve.y).all()
        assert (np.diff(curve.x) >= 0).all()
    assert reference.auc(precision.x, precision.y) == pytest.approx(found.average_precision[1], abs=0.01)
    assert reference.auc(roc.x, roc.y) == pytest.approx(found.auc[1], abs=0.01)
    assert (precision.x[-1], roc.x[0], roc.y[-1]) == (1, 0, 1)


@pytest.mark.parametrize(
    ("classes", "wanted", "k"), [(10, 3, 3), (3, 3, 2), (2, 3, 0), (1, 3, 0), (10, 50, 9), (9, 1, 0)]
)
def test_k_is_bounded_by_the_classes(classes, wanted, k):
    assert ranking.bounded_k(classes, wanted) == k


def test_top_k_is_that_of_scikit_learn():
    labels, probabilities = answers(6, 200)
    expected = reference.top_k_accuracy_score(labels, probabilities, k=3, labels=range(6), normalize=False)
    assert ranking.top_k_hits(labels, probabilities, 3) == expected


def test_top_k_breaks_ties_as_the_predicted_class_does():
    probabilities = np.full((4, 4), 0.25, np.float32)  # the predicted class is the first, and the second comes next
    assert ranking.top_k_hits(np.arange(4), probabilities, 2) == 2
    assert ranking.top_k_hits(np.array([0, 0, 1, 1]), probabilities, 2) == 4
