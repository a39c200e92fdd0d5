import math

import numpy as np
import pytest
from sklearn import metrics as reference

from tilepipe.components.evaluate.figures import metrics


def answers(classes: int, tiles: int, seed: int, absent: tuple[int, ...] = ()) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    present = [c for c in range(classes) if c not in absent]
    labels = rng.choice(present, tiles).astype(np.int64)
    logits = rng.normal(size=(tiles, classes))
    logits[np.arange(tiles), labels] += 1.5
    odds = np.exp(logits)
    return labels, (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize(("classes", "tiles", "absent"), [(2, 50, ()), (10, 400, ()), (6, 200, (1, 4)), (40, 60, (0,))])
def test_figures_are_those_of_scikit_learn(classes: int, tiles: int, absent: tuple[int, ...]) -> None:
    labels, probabilities = answers(classes, tiles, seed=classes, absent=absent)
    scores = metrics.score(labels, probabilities)
    predicted = probabilities.argmax(axis=1)
    present = sorted(set(labels.tolist()))
    precision, recall, f1, support = reference.precision_recall_fscore_support(
        labels, predicted, labels=present, zero_division=0
    )
    assert scores.confusion.tolist() == reference.confusion_matrix(labels, predicted, labels=range(classes)).tolist()
    assert scores.accuracy == pytest.approx(reference.accuracy_score(labels, predicted))
    np.testing.assert_allclose(scores.figures.precision[present], precision)
    np.testing.assert_allclose(scores.figures.recall[present], recall)
    np.testing.assert_allclose(scores.figures.f1[present], f1)
    assert scores.figures.support[present].tolist() == support.tolist()
    assert scores.loss == pytest.approx(reference.log_loss(labels, probabilities, labels=range(classes)), rel=1e-5)
    scalars = scores.scalars()
    assert scalars["macro_precision"] == pytest.approx(precision.mean())
    assert scalars["macro_recall"] == pytest.approx(recall.mean())
    assert scalars["macro_f1"] == pytest.approx(f1.mean())
    assert scalars["balanced_accuracy"] == pytest.approx(recall.mean())


@pytest.mark.parametrize(("classes", "tiles", "absent"), [(2, 50, ()), (10, 400, (3,)), (40, 60, (0,))])
def test_weighted_figures_and_agreement_are_those_of_scikit_learn(classes, tiles, absent) -> None:
    labels, probabilities = answers(classes, tiles, seed=classes, absent=absent)
    predicted = probabilities.argmax(axis=1)
    scalars = metrics.score(labels, probabilities, resamples=0).scalars()
    weighted = reference.precision_recall_fscore_support(labels, predicted, average="weighted", zero_division=0)
    for name, value in zip(("precision", "recall", "f1"), weighted[:3], strict=True):
        assert scalars[f"weighted_{name}"] == pytest.approx(value)
    assert scalars["cohen_kappa"] == pytest.approx(reference.cohen_kappa_score(labels, predicted))
    assert scalars["matthews_correlation"] == pytest.approx(reference.matthews_corrcoef(labels, predicted))


@pytest.mark.parametrize("mistakes", [0, 1])
def test_agreement_beyond_chance_is_undefined_for_a_single_class(mistakes) -> None:
    probabilities = np.tile(np.float32([0.9, 0.1]), (5, 1))
    probabilities[:mistakes] = probabilities[:mistakes, ::-1]
    scores = metrics.score(np.zeros(5, np.int64), probabilities)
    assert scores.agreement == {}
    assert bool(scores.intervals) == bool(mistakes)
    assert {"cohen_kappa", "matthews_correlation", "macro_auc"}.isdisjoint({*scores.scalars(), *scores.intervals})
    assert all(math.isfinite(value) for value in scores.scalars().values())


def test_balanced_accuracy_is_that_of_scikit_learn() -> None:
    labels, probabilities = answers(5, 300, seed=1)
    expected = reference.balanced_accuracy_score(labels, probabilities.argmax(axis=1))
    assert metrics.score(labels, probabilities).scalars()["balanced_accuracy"] == pytest.approx(expected)


def test_a_class_without_tiles_has_no_recall_and_does_not_weigh_on_the_means() -> None:
    labels, probabilities = answers(4, 100, seed=2, absent=(3,))
    scores = metrics.score(labels, probabilities)
    assert math.isnan(scores.figures.precision[3])
    assert math.isnan(scores.figures.recall[3])
    assert math.isnan(scores.figures.f1[3])
    assert scores.scalars()["balanced_accuracy"] == pytest.approx(scores.figures.recall[:3].mean())


def test_all_scalars_are_finite_even_where_a_class_is_never_predicted() -> None:
    labels = np.array([0, 1, 1], np.int64)
    probabilities = np.array([[1, 0, 0], [1, 0, 0], [1, 0, 0]], np.float32)
    scores = metrics.score(labels, probabilities)
    assert scores.figures.precision.tolist() == pytest.approx([1 / 3, 0, math.nan], nan_ok=True)
    assert all(math.isfinite(value) for value in scores.scalars().values())
    assert scores.loss == pytest.approx(-2 / 3 * math.log(1e-7))


def test_loss_of_a_perfect_model_is_zero_and_not_minus_zero() -> None:
    assert str(metrics.score(np.zeros(3, np.int64), np.ones((3, 1), np.float32)).loss) == "0.0"


def test_loss_is_that_of_keras() -> None:
    import keras

    labels, probabilities = answers(7, 120, seed=4)
    expected = float(keras.ops.mean(keras.losses.sparse_categorical_crossentropy(labels, probabilities)))
    assert metrics.cross_entropies(labels, probabilities).mean() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("classes", [2, 8])
def test_roc_points_are_finite_and_on_the_curve_of_scikit_learn(classes: int) -> None:
    labels, probabilities = answers(classes, 500, seed=classes)
    curve = metrics.roc_curve(labels, probabilities)
    onehot = np.eye(classes)[labels]
    false_positive, true_positive, threshold = reference.roc_curve(
        onehot.ravel(), probabilities.ravel(), drop_intermediate=False
    )
    exact = {float(t): (f, r) for f, r, t in zip(false_positive, true_positive, threshold, strict=True)}
    assert 2 <= len(curve.threshold) <= 200
    assert curve.threshold == sorted(curve.threshold, reverse=True)
    for f, r, t in zip(*curve, strict=True):
        assert (f, r) == pytest.approx(exact[t])
        assert math.isfinite(t)
    assert (curve.false_positive_rate[-1], curve.true_positive_rate[-1]) == (1.0, 1.0)


def test_one_class_alone_has_no_roc_curve() -> None:
    assert metrics.roc_curve(np.zeros(4, np.int64), np.ones((4, 1), np.float32)) == ([], [], [])


def test_calibration_is_perfect_where_probability_is_hit_rate() -> None:
    probability = np.repeat(np.float32([0.75, 0.95]), [400, 100])
    correct = np.concatenate([np.arange(400) < 300, np.arange(100) < 95])
    bins = metrics.reliability_bins(probability, correct)
    assert [(b.low, b.high, b.tiles) for b in bins] == [(0.7, 0.8, 400), (0.9, 1.0, 100)]
    assert [b.accuracy for b in bins] == pytest.approx([0.75, 0.95])
    assert [b.probability for b in bins] == pytest.approx([0.75, 0.95])


def test_calibration_error_of_an_overconfident_model() -> None:
    labels = np.array([0, 0, 1, 1], np.int64)
    probabilities = np.tile(np.float32([1.0, 0.0]), (4, 1))
    assert metrics.score(labels, probabilities).calibration_error == pytest.approx(0.5)


def test_top_confusions_come_by_tiles_then_share() -> None:
    confusion = np.array([[5, 2, 0], [2, 0, 1], [0, 3, 90]])
    found = metrics.top_confusions(confusion, 3)
    assert [(c.label, c.predicted, c.tiles) for c in found] == [(2, 1, 3), (1, 0, 2), (0, 1, 2)]
    assert found[0].share == pytest.approx(3 / 93)
    assert metrics.top_confusions(np.diag([3, 4]), 5) == []
