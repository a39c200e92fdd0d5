"""Figures of a classifier on one split, from labels and probabilities, with NumPy alone.

scikit-learn would be one more large dependency of the training image for a handful of sums; the tests hold every
figure here against it.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float32]

CALIBRATION_BINS = 10
_SMALLEST_PROBABILITY = 1e-7  # what Keras clips to, so that the loss is the one that training reports


class Confusion(NamedTuple):
    """One way of being wrong."""

    label: int
    predicted: int
    tiles: int
    share: float
    """Of the label's tiles."""


class RocCurve(NamedTuple):
    """Points of a receiver operating characteristic, by falling threshold; all finite."""

    false_positive_rate: list[float]
    true_positive_rate: list[float]
    threshold: list[float]


@dataclass(frozen=True, eq=False)
class SplitScores:
    """All figures of one split that has tiles.

    Means over classes ("macro") are taken over the classes that the split holds: a class without a tile has no recall,
    and counting it as zero would blame the model for the data. So macro recall and balanced accuracy are the same.
    """

    confusion: Counts
    """Tiles by label (row) and predicted class (column), `(classes, classes)`."""
    loss: float
    """Mean cross-entropy, in nats."""
    calibration_error: float
    """Mean distance between stated probability and hit rate, over bins of probability (ECE)."""
    reliability: tuple["ReliabilityBin", ...]

    @property
    def tiles(self) -> int:
        """Number of tiles."""
        return int(self.confusion.sum())

    @property
    def correct(self) -> int:
        """Number of tiles with the right class."""
        return int(np.trace(self.confusion))

    @property
    def accuracy(self) -> float:
        """Share of tiles with the right class."""
        return self.correct / self.tiles

    @property
    def support(self) -> Counts:
        """Tiles of each class, `(classes,)`."""
        return np.asarray(self.confusion.sum(axis=1), dtype=np.int64)

    @property
    def precision(self) -> Floats:
        """Share of each predicted class that is right, `(classes,)`; 0 for a class that was never predicted."""
        return _ratio(np.diag(self.confusion), self.confusion.sum(axis=0), where_empty=0.0)

    @property
    def recall(self) -> Floats:
        """Share of each class that is found, `(classes,)`; NaN for a class without a tile."""
        return _ratio(np.diag(self.confusion), self.support, where_empty=np.nan)

    @property
    def f1(self) -> Floats:
        """Harmonic mean of precision and recall, `(classes,)`; NaN for a class without a tile."""
        both = self.confusion.sum(axis=0) + self.support
        f1 = _ratio(2 * np.diag(self.confusion), both, where_empty=np.nan)
        return np.where(self.support > 0, f1, np.nan)

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall over the classes that the split holds."""
        return self._macro(self.recall)

    def scalars(self) -> dict[str, float]:
        """The figures that are one number each, all finite, by the names that pipelines and MLflow show."""
        return {
            "accuracy": self.accuracy,
            "balanced_accuracy": self.balanced_accuracy,
            "loss": self.loss,
            "precision_macro": self._macro(self.precision),
            "recall_macro": self._macro(self.recall),
            "f1_macro": self._macro(self.f1),
            "calibration_error": self.calibration_error,
            "tiles": float(self.tiles),
        }

    def _macro(self, figures: Floats) -> float:
        return float(figures[self.support > 0].mean())


class ReliabilityBin(NamedTuple):
    """Tiles whose stated probability lies in one range."""

    low: float
    high: float
    tiles: int
    probability: float
    """Mean of the stated probabilities."""
    accuracy: float
    """Share of these tiles with the right class."""


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
        classes: how many there are.

    Returns:
        int64, `(classes, classes)`, a row a label.
    """
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)


def cross_entropy(labels: Counts, probabilities: Probabilities) -> float:
    """Mean negative logarithm of the true class's probability, in nats."""
    of_label = np.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0].astype(np.float64)
    return 0.0 - float(np.log(np.clip(of_label, _SMALLEST_PROBABILITY, 1.0)).mean())  # never -0


def reliability_bins(
    probability: npt.NDArray[np.float32], correct: npt.NDArray[np.bool_], bins: int = CALIBRATION_BINS
) -> tuple[ReliabilityBin, ...]:
    """Hold stated probabilities against hit rates, in bins of equal width.

    Guo et al. 2017, https://arxiv.org/abs/1706.04599, section 2.

    Args:
        probability: of the predicted class, float32, `(tiles,)`.
        correct: whether that class is right, `(tiles,)`.
        bins: how many.

    Returns:
        The bins that hold tiles, by rising probability.
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
        confusion: int64, `(classes, classes)`, a row a label.
        limit: how many at most.

    Returns:
        Mistakes that occur, by falling number of tiles, then falling share of the class, then order of the classes.
    """
    support = confusion.sum(axis=1)
    mistakes = [
        Confusion(int(row), int(column), int(confusion[row, column]), float(confusion[row, column] / support[row]))
        for row, column in zip(*np.nonzero(confusion), strict=True)
        if row != column
    ]
    return sorted(mistakes, key=lambda m: (-m.tiles, -m.share, m.label, m.predicted))[:limit]


def roc_curve(labels: Counts, probabilities: Probabilities, points: int = 100) -> RocCurve:
    """Micro-averaged ROC curve: each class of each tile is one yes-or-no question, all counted alike.

    Exact at its points, which are quantiles of the scores, so that both the steep and the flat part are drawn well
    whatever the scores' distribution; thresholds are probabilities, never infinite.

    Args:
        labels: true classes, int64, `(tiles,)`.
        probabilities: of each class, float32, `(tiles, classes)`.
        points: thresholds taken from the right answers' scores, and as many from the wrong ones'.

    Returns:
        At most `2 * points` points; none where there is but one class.
    """
    right = np.zeros(probabilities.shape, dtype=np.bool_)
    np.put_along_axis(right, labels[:, None], values=True, axis=1)
    positives, negatives = np.sort(probabilities[right]), np.sort(probabilities[~right])
    if not len(negatives):  # one class alone: nothing can be wrong
        return RocCurve([], [], [])
    spread = np.linspace(0, 1, points)
    candidates = [np.quantile(scores, spread, method="nearest") for scores in (positives, negatives)]
    thresholds = np.unique(np.concatenate(candidates))[::-1]
    true_positive = 1 - np.searchsorted(positives, thresholds) / len(positives)
    false_positive = 1 - np.searchsorted(negatives, thresholds) / len(negatives)
    return RocCurve(false_positive.tolist(), true_positive.tolist(), thresholds.astype(np.float64).tolist())


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """95 % interval of a share, which stays within 0 and 1 for small counts too.

    https://en.wikipedia.org/wiki/Binomial_proportion_confidence_interval#Wilson_score_interval

    Args:
        successes: how often it was so.
        trials: out of how many, at least one.

    Returns:
        Lower and upper end.
    """
    z = 1.959964
    share = successes / trials
    centre = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def _ratio(numerator: Counts, denominator: Counts, where_empty: float) -> Floats:
    out = np.full(len(denominator), where_empty)
    np.divide(numerator, denominator, out=out, where=denominator > 0)
    return out
