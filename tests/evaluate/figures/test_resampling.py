import numpy as np
import pytest
from sklearn import metrics as reference

from tilepipe.components.evaluate.figures import resampling
from tilepipe.components.evaluate.figures.metrics import score


def answers(tiles=200, classes=5):
    rng = np.random.default_rng(4)
    labels = rng.integers(0, classes - 1, tiles)  # the last class has no tiles, but may be predicted
    predicted = np.where(rng.random(tiles) < 0.7, labels, rng.integers(0, classes, tiles))
    return labels, predicted


def confusion_of(labels, predicted, classes=5):
    return reference.confusion_matrix(labels, predicted, labels=range(classes))


def rng():
    return np.random.default_rng(0)


def test_figures_of_a_resample_are_those_of_scikit_learn():
    labels, predicted = answers()
    rows, columns = np.nonzero(confusion_of(labels, predicted))
    drawn = np.stack([np.bincount(np.arange(len(rows)), minlength=len(rows)) * weight for weight in (1, 3)])
    drawn[1, 0] = 0
    found = resampling._figures(drawn, rows, columns, 5)
    for weights, row in zip(drawn, range(2), strict=True):
        present = np.unique(rows[weights > 0])
        precision, recall, f1, _ = reference.precision_recall_fscore_support(
            rows, columns, labels=present, sample_weight=weights, zero_division=0
        )
        assert found["accuracy"][row] == pytest.approx(reference.accuracy_score(rows, columns, sample_weight=weights))
        assert found["macro_precision"][row] == pytest.approx(precision.mean())
        assert found["balanced_accuracy"][row] == found["macro_recall"][row] == pytest.approx(recall.mean())
        assert found["macro_f1"][row] == pytest.approx(f1.mean())
        weighted = reference.f1_score(rows, columns, average="weighted", sample_weight=weights)
        assert found["weighted_f1"][row] == pytest.approx(weighted)
        kappa = reference.cohen_kappa_score(rows, columns, sample_weight=weights)
        assert found["cohen_kappa"][row] == pytest.approx(kappa)
        matthews = reference.matthews_corrcoef(rows, columns, sample_weight=weights)
        assert found["matthews_correlation"][row] == pytest.approx(matthews)


def test_intervals_are_those_of_resampled_tiles():
    labels, predicted = answers()
    found = resampling.confusion_intervals(confusion_of(labels, predicted), 4000, rng())
    draws = np.random.default_rng(1).integers(0, len(labels), (2000, len(labels)))
    accuracies = (labels[draws] == predicted[draws]).mean(axis=1)
    assert found["accuracy"] == pytest.approx(np.quantile(accuracies, [0.025, 0.975]), abs=0.01)
    f1 = [reference.f1_score(labels[d], predicted[d], labels=range(4), average="macro") for d in draws[:300]]
    assert found["macro_f1"] == pytest.approx(np.quantile(f1, [0.025, 0.975]), abs=0.02)


def test_chunks_change_nothing_but_the_memory(monkeypatch):
    confusion = confusion_of(*answers())
    whole = resampling.confusion_intervals(confusion, 100, rng())
    monkeypatch.setattr(resampling, "_CELLS_AT_A_TIME", 100)
    assert resampling.confusion_intervals(confusion, 100, rng()) == whole


def test_tiles_that_all_agree_have_no_interval():
    assert resampling.confusion_intervals(np.array([[7, 0], [0, 0]]), 50, rng()) == {}
    assert resampling.share_interval(9, 9, 50, rng()) is None
    assert resampling.share_interval(0, 9, 50, rng()) is None
    assert resampling.mean_interval(np.full(5, 0.3), 50, rng()) is None
    right = resampling.confusion_intervals(np.diag([5, 6, 7]), 50, rng())
    assert right == {}, "all tiles are right, in each resample"


@pytest.mark.parametrize("tiles", [50, 5000])
def test_the_interval_of_a_mean_covers_it(tiles):
    values = np.random.default_rng(2).exponential(size=tiles)
    low, high = resampling.mean_interval(values, 1000, rng())
    spread = 1.96 * values.std() / tiles**0.5
    assert (low, high) == pytest.approx((values.mean() - spread, values.mean() + spread), rel=0.05)


def test_headline_figures_have_seeded_intervals():
    labels, predicted = answers(classes=4)
    probabilities = np.eye(4, dtype=np.float32)[predicted] * np.float32(0.9) + np.float32(0.025)
    one, same, other = (score(labels, probabilities, seed=seed).intervals for seed in (0, 0, 1))
    assert one == same != other
    scores = score(labels, probabilities)
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "cohen_kappa", "loss", "top_3_accuracy"):
        low, high = scores.intervals[name]
        assert low < scores.scalars()[name] < high
        assert scores.bounds()[f"{name}_lower"] == low
