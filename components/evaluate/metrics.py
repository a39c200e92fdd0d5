"""Figures of a classifier on one split, from labels and probabilities.

`components/shared/figures.py` computes what training reports as well; this module adds loss, calibration, the ROC
curve and the most frequent mistakes.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tilepipe.components.shared.figures import ClassificationFigures, classification_figures

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float32]

CALIBRATION_BINS = 10
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

    @property
    def support(self) -> Counts:
        """Tiles per class, `(classes,)`."""
        return self.figures.support

    @property
    def precision(self) -> Floats:
        """Precision per class, `(classes,)`; 0 for a class that was never predicted, NaN for one without tiles."""
        return self.figures.precision

    @property
    def recall(self) -> Floats:
        """Recall per class, `(classes,)`; NaN for a class without tiles."""
        return self.figures.recall

    @property
    def f1(self) -> Floats:
        """F1 per class, `(classes,)`; NaN for a class without tiles."""
        return self.figures.f1

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall over the classes that have tiles."""
        return self.figures.overall["balanced_accuracy"]

    def scalars(self) -> dict[str, float]:
        """Return the scalar figures, all finite, by the names that pipelines and MLflow show."""
        return {
            **self.figures.overall,
            "loss": self.loss,
            "calibration_error": self.calibration_error,
            "tiles": float(self.tiles),
        }


class ReliabilityBin(NamedTuple):
    """Tiles whose predicted probability lies in one range."""

    low: float
    high: float
    tiles: int
    probability: float
    """Mean of the predicted probabilities."""
    accuracy: float
    """Fraction of these tiles whose predicted class is right."""


def score(labels: Counts, probabilities: Probabilities) -> SplitScores:
    """Compute all figures of one split.

    Args:
        labels: true classes, int64, `(tiles,)`; at least one tile.
        probabilities: of each class, float32, `(tiles, classes)`.

    Returns:
        The figures.
    """
    classes = probabilities.shape[1]
    predicted = probabilities.argmax(axis=1)
    reliability = reliability_bins(probabilities.max(axis=1), predicted == labels)
    return SplitScores(
        confusion=confusion_matrix(labels, predicted, classes),
        loss=cross_entropy(labels, probabilities),
        calibration_error=sum(b.tiles * abs(b.probability - b.accuracy) for b in reliability) / len(labels),
        reliability=reliability,
    )


def confusion_matrix(labels: Counts, predicted: Counts, classes: int) -> Counts:
    """Count tiles by label and predicted class.

    Args:
        labels: true classes, int64, `(tiles,)`.
        predicted: predicted classes, int64, `(tiles,)`.
        classes: number of classes.

    Returns:
        int64, `(classes, classes)`, one row per label.
    """
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)


def cross_entropy(labels: Counts, probabilities: Probabilities) -> float:
    """Compute the mean negative logarithm of the probability of the true class, in nats."""
    of_label = np.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0].astype(np.float64)
    return 0.0 - float(np.log(np.clip(of_label, _SMALLEST_PROBABILITY, 1.0)).mean())  # never -0


def reliability_bins(
    probability: npt.NDArray[np.float32], correct: npt.NDArray[np.bool_], bins: int = CALIBRATION_BINS
) -> tuple[ReliabilityBin, ...]:
    """Compare predicted probabilities with accuracies, in bins of equal width.

    Guo et al. 2017, https://arxiv.org/abs/1706.04599, section 2.

    Args:
        probability: of the predicted class, float32, `(tiles,)`.
        correct: True where that class is right, bool, `(tiles,)`.
        bins: number of bins.

    Returns:
        The bins that hold tiles, by ascending probability.
    """
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


def roc_curve(labels: Counts, probabilities: Probabilities, points: int = 100) -> RocCurve:
    """Compute the micro-averaged ROC curve: each class of each tile is one binary decision.

    The curve is exact at its points. They are quantiles of the scores, so that its steep and its flat part both have
    points; thresholds are probabilities, never infinite.

    Args:
        labels: true classes, int64, `(tiles,)`.
        probabilities: of each class, float32, `(tiles, classes)`.
        points: number of thresholds taken from the scores of true classes, and again from those of other classes.

    Returns:
        At most `2 * points` points; none if there is only one class.
    """
    right = np.zeros(probabilities.shape, dtype=np.bool_)
    np.put_along_axis(right, labels[:, None], values=True, axis=1)
    positives, negatives = np.sort(probabilities[right]), np.sort(probabilities[~right])
    if not len(negatives):  # a single class: there are no negatives
        return RocCurve([], [], [])
    spread = np.linspace(0, 1, points)
    candidates = [np.quantile(scores, spread, method="nearest") for scores in (positives, negatives)]
    thresholds = np.unique(np.concatenate(candidates))[::-1]
    true_positive = 1 - np.searchsorted(positives, thresholds) / len(positives)
    false_positive = 1 - np.searchsorted(negatives, thresholds) / len(negatives)
    return RocCurve(false_positive.tolist(), true_positive.tolist(), thresholds.astype(np.float64).tolist())


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Compute the 95 % Wilson interval of a fraction, which stays within 0 and 1 for small counts too.

    https://en.wikipedia.org/wiki/Binomial_proportion_confidence_interval#Wilson_score_interval

    Args:
        successes: number of successes.
        trials: number of trials, at least one.

    Returns:
        Lower and upper bound.
    """
    z = 1.959964
    share = successes / trials
    center = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    return max(0.0, float(center - half)), min(1.0, float(center + half))
