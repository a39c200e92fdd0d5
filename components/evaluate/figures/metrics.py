"""Figures of a classifier on one split, from labels and probabilities.

`components/shared/figures.py` computes what training reports as well; this module adds agreement beyond chance, loss,
calibration, the ROC curve and the most frequent mistakes. `class_ranking.py` computes curves per class, and
`resampling.py` intervals.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tilepipe.components.evaluate.figures import resampling
from tilepipe.components.evaluate.figures.arrays import Counts, Floats, Probabilities
from tilepipe.components.evaluate.figures.class_ranking import ClassRanking, bounded_k, rank_classes, top_k_hits
from tilepipe.components.evaluate.figures.resampling import Interval
from tilepipe.components.shared.figures import ClassificationFigures, classification_figures, confusion_matrix

_CALIBRATION_BINS = 10
_ROC_QUANTILES = 100
"""Number of thresholds taken from the scores of true classes, and again from those of other classes."""
_ENDS = ("lower", "upper")
_SMALLEST_PROBABILITY = 1e-7  # what Keras clips to, so that the loss is the one that training reports


class Confusion(NamedTuple):
    """Tiles of one class that were predicted as another."""

    label: int
    predicted: int
    tiles: int
    share: float
    """Fraction of the tiles with that label."""


class RocCurve(NamedTuple):
    """Points of a receiver operating characteristic, by descending threshold; all finite."""

    false_positive_rate: list[float]
    true_positive_rate: list[float]
    threshold: list[float]


@dataclass(frozen=True, eq=False)
class SplitScores:
    """All figures of one split that has tiles.

    Macro averages are over the classes that have tiles in the split; a class without tiles has no figures (NaN).
    """

    confusion: Counts
    """Tiles by label (row) and predicted class (column), `(classes, classes)`."""
    loss: float
    """Mean cross-entropy, in nats."""
    calibration_error: float
    """Expected calibration error (ECE): mean distance between probability and accuracy over bins of probability."""
    reliability: tuple["ReliabilityBin", ...]
    top_k: int
    """`k` of the top-k accuracy: less than the number of classes; 0 with two classes or fewer, which have none."""
    top_k_hits: int
    """Tiles whose true class is among the `top_k` most probable ones."""
    ranking: ClassRanking
    intervals: Mapping[str, Interval]
    """Bootstrap 95 % intervals, by name of the figure; a figure on which all tiles agree has none."""

    @property
    def tiles(self) -> int:
        """Number of tiles."""
        return int(self.confusion.sum())

    @property
    def correct(self) -> int:
        """Number of tiles whose predicted class is right."""
        return int(np.trace(self.confusion))

    @cached_property
    def figures(self) -> ClassificationFigures:
        """Figures that training reports too, overall and per class."""
        return classification_figures(self.confusion)

    @property
    def accuracy(self) -> float:
        """Fraction of tiles with the right class."""
        return self.figures.overall["accuracy"]

    def scalars(self) -> dict[str, float]:
        """Return the scalar figures, all finite, by the names that pipelines and MLflow show."""
        return {
            **self.figures.overall,
            **self.weighted,
            **self.agreement,
            **({f"top_{self.top_k}_accuracy": self.top_k_hits / self.tiles} if self.top_k else {}),
            **self.ranking.scalars(),
            "loss": self.loss,
            "calibration_error": self.calibration_error,
            "tiles": float(self.tiles),
        }

    def bounds(self) -> dict[str, float]:
        """Return the bounds of the intervals, all finite, as `<figure>_lower` and `<figure>_upper`."""
        return {
            f"{name}_{end}": value
            for name, interval in self.intervals.items()
            for end, value in zip(_ENDS, interval, strict=True)
        }

    @cached_property
    def weighted(self) -> dict[str, float]:
        """Means of the classes' figures, weighted by their tiles, by name."""
        present = self.figures.support > 0
        weights = self.figures.support[present] / self.tiles
        names = ("precision", "recall", "f1")
        return {f"weighted_{name}": float(weights @ getattr(self.figures, name)[present]) for name in names}

    @cached_property
    def agreement(self) -> dict[str, float]:
        """Agreement beyond chance, by name: Cohen's kappa and Matthews' correlation coefficient.

        Empty if only one class has tiles: Cohen's kappa is then 0 whatever is predicted, and the other one undefined.
        """
        from sklearn.metrics import cohen_kappa_score, matthews_corrcoef

        label, predicted = np.nonzero(self.confusion)
        if len(np.unique(label)) < 2:
            return {}
        tiles = self.confusion[label, predicted]
        return {
            "cohen_kappa": float(cohen_kappa_score(label, predicted, sample_weight=tiles)),
            "matthews_correlation": float(matthews_corrcoef(label, predicted, sample_weight=tiles)),
        }


class ReliabilityBin(NamedTuple):
    """Tiles whose predicted probability is in one range."""

    low: float
    high: float
    tiles: int
    probability: float
    """Mean of the predicted probabilities."""
    accuracy: float
    """Fraction of these tiles whose predicted class is right."""


def score(
    labels: Counts, probabilities: Probabilities, *, top_k: int = 3, resamples: int = 1000, seed: int = 0
) -> SplitScores:
    """Compute all figures of one split.

    Args:
        labels: true classes, int64, `(tiles,)`; at least one tile.
        probabilities: of each class, float32, `(tiles, classes)`.
        top_k: `k` of the top-k accuracy, bounded by the classes. Defaults to 3.
        resamples: number of bootstrap resamples; 0 computes no intervals. Defaults to 1,000.
        seed: seed of the resampling. Defaults to 0.
    """
    classes = probabilities.shape[1]
    predicted = probabilities.argmax(axis=1)
    reliability = reliability_bins(probabilities.max(axis=1), predicted == labels)
    confusion, losses = confusion_matrix(labels, predicted, classes), cross_entropies(labels, probabilities)
    k = bounded_k(classes, top_k)
    hits = top_k_hits(labels, probabilities, k) if k else 0
    intervals: dict[str, Interval | None] = {}
    if resamples:
        rng = np.random.default_rng(seed)
        intervals |= resampling.confusion_intervals(confusion, resamples, rng)
        intervals["loss"] = resampling.mean_interval(losses, resamples, rng)
        if k:
            intervals[f"top_{k}_accuracy"] = resampling.share_interval(hits, len(labels), resamples, rng)
    return SplitScores(
        confusion=confusion,
        loss=0.0 + float(losses.mean()),
        calibration_error=sum(b.tiles * abs(b.probability - b.accuracy) for b in reliability) / len(labels),
        reliability=reliability,
        top_k=k,
        top_k_hits=hits,
        ranking=rank_classes(labels, probabilities),
        intervals={name: interval for name, interval in intervals.items() if interval},
    )


def cross_entropies(labels: Counts, probabilities: Probabilities) -> Floats:
    """Compute the negative logarithm of the probability of the true class, in nats, float64, `(tiles,)`."""
    of_label = np.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0].astype(np.float64)
    return 0.0 - np.log(np.clip(of_label, _SMALLEST_PROBABILITY, 1.0))  # never -0


def reliability_bins(
    probability: npt.NDArray[np.float32], correct: npt.NDArray[np.bool_]
) -> tuple[ReliabilityBin, ...]:
    """Compare predicted probabilities with accuracies, in bins of equal width.

    Guo et al. 2017, https://arxiv.org/abs/1706.04599, section 2.

    Args:
        probability: of the predicted class, float32, `(tiles,)`.
        correct: True where that class is right, bool, `(tiles,)`.

    Returns:
        The bins that contain tiles, by ascending probability.
    """
    bins = _CALIBRATION_BINS
    index = np.clip(np.ceil(probability.astype(np.float64) * bins).astype(np.int64) - 1, 0, bins - 1)
    tiles = np.bincount(index, minlength=bins)
    stated = np.bincount(index, weights=probability, minlength=bins)
    right = np.bincount(index, weights=correct, minlength=bins)
    return tuple(
        ReliabilityBin(b / bins, (b + 1) / bins, int(tiles[b]), float(stated[b] / tiles[b]), float(right[b] / tiles[b]))
        for b in range(bins)
        if tiles[b]
    )


def top_confusions(confusion: Counts, limit: int) -> list[Confusion]:
    """Find the most frequent mistakes.

    Args:
        confusion: int64, `(classes, classes)`, one row per label.
        limit: maximum number of mistakes.

    Returns:
        Mistakes that occur, by descending number of tiles, then descending share of the class, then class order.
    """
    support = confusion.sum(axis=1)
    mistakes = [
        Confusion(int(row), int(column), int(confusion[row, column]), float(confusion[row, column] / support[row]))
        for row, column in zip(*np.nonzero(confusion), strict=True)
        if row != column
    ]
    return sorted(mistakes, key=lambda m: (-m.tiles, -m.share, m.label, m.predicted))[:limit]


def roc_curve(labels: Counts, probabilities: Probabilities) -> RocCurve:
    """Compute the micro-averaged ROC curve: each class of each tile is one binary decision.

    The curve is exact at its points. They are quantiles of the scores, so that its steep and its flat part both have
    points; thresholds are probabilities, never infinite.

    Args:
        labels: true classes, int64, `(tiles,)`.
        probabilities: of each class, float32, `(tiles, classes)`.

    Returns:
        At most `2 * _ROC_QUANTILES` points; none if there is only one class.
    """
    right = np.zeros(probabilities.shape, dtype=np.bool_)
    np.put_along_axis(right, labels[:, None], values=True, axis=1)
    positives, negatives = np.sort(probabilities[right]), np.sort(probabilities[~right])
    if not len(negatives):  # a single class: there are no negatives
        return RocCurve([], [], [])
    spread = np.linspace(0, 1, _ROC_QUANTILES)
    candidates = [np.quantile(scores, spread, method="nearest") for scores in (positives, negatives)]
    thresholds = np.unique(np.concatenate(candidates))[::-1]
    true_positive = 1 - np.searchsorted(positives, thresholds) / len(positives)
    false_positive = 1 - np.searchsorted(negatives, thresholds) / len(negatives)
    return RocCurve(false_positive.tolist(), true_positive.tolist(), thresholds.astype(np.float64).tolist())
