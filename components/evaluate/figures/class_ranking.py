"""Figures of how well probabilities rank the tiles: top-k accuracy, and PR and ROC curves per class.

Each class is compared with all others. A figure that a class cannot have, such as the average precision of a class
without tiles, is undefined: NaN in arrays, and left out elsewhere.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tilepipe.components.evaluate.figures.arrays import Counts, Floats, Probabilities

POINTS = 100
"""Largest number of points per curve."""


@dataclass(frozen=True, eq=False)
class Curve:
    """Points of a curve, by ascending `x`, all finite; the first and the last point of the whole curve are kept."""

    x: Floats
    y: Floats


@dataclass(frozen=True, eq=False)
class ClassRanking:
    """Figures of each class against all others."""

    average_precision: Floats
    """Area under the precision-recall curve as a sum of steps, `(classes,)`; NaN for a class without tiles."""
    auc: Floats
    """Area under the ROC curve, `(classes,)`; NaN for a class with no tile or with all tiles."""

    def scalars(self) -> dict[str, float]:
        """Return the means over the classes where a figure is defined, by name; left out if there is none."""
        return {
            name: float(np.nanmean(values))
            for name, values in (("macro_average_precision", self.average_precision), ("macro_auc", self.auc))
            if not np.isnan(values).all()
        }


def rank_classes(labels: Counts, probabilities: Probabilities) -> ClassRanking:
    """Compute average precision and ROC AUC of each class.

    Args:
        labels: true classes, int64, `(tiles,)`.
        probabilities: of each class, float32, `(tiles, classes)`.

    Returns:
        The figures.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    classes = probabilities.shape[1]
    precision, auc = np.full(classes, np.nan), np.full(classes, np.nan)
    for index, count in enumerate(np.bincount(labels, minlength=classes)):
        if count:
            positive, scores = labels == index, probabilities[:, index].astype(np.float64)
            precision[index] = average_precision_score(positive, scores)
            if count < len(labels):
                auc[index] = roc_auc_score(positive, scores)
    return ClassRanking(precision, auc)


def precision_recall_curve(labels: Counts, probabilities: Probabilities, index: int) -> Curve:
    """Compute precision (y) against recall (x) of one class that has tiles.

    Args:
        labels: true classes, int64, `(tiles,)`.
        probabilities: of each class, float32, `(tiles, classes)`.
        index: the class.

    Returns:
        At most `POINTS` points of scikit-learn's curve, from its lowest recall to recall 1.
    """
    from sklearn.metrics import precision_recall_curve as curve

    scores = probabilities[:, index].astype(np.float64)
    precision, recall, _ = curve(labels == index, scores, drop_intermediate=True)
    return _thinned(recall[::-1], precision[::-1])


def roc_curve_of(labels: Counts, probabilities: Probabilities, index: int) -> Curve:
    """Compute true positive rate (y) against false positive rate (x) of one class with neither no tile nor all tiles.

    Args:
        labels: true classes, int64, `(tiles,)`.
        probabilities: of each class, float32, `(tiles, classes)`.
        index: the class.

    Returns:
        At most `POINTS` points of scikit-learn's curve; its first threshold is infinite, so thresholds are left out.
    """
    from sklearn.metrics import roc_curve as curve

    false_positive, true_positive, _ = curve(labels == index, probabilities[:, index].astype(np.float64))
    return _thinned(false_positive, true_positive)


def bounded_k(classes: int, wanted: int) -> int:
    """Bound `k` so that top-k accuracy says something: below the number of classes; 0 where no `k` above 1 does."""
    k = min(wanted, classes - 1)
    return k if k > 1 else 0


def top_k_hits(labels: Counts, probabilities: Probabilities, k: int) -> int:
    """Count the tiles whose true class is among the `k` most probable ones.

    Args:
        labels: true classes, int64, `(tiles,)`.
        probabilities: of each class, float32, `(tiles, classes)`.
        k: from 2 to one less than the number of classes.
    """
    from sklearn.metrics import top_k_accuracy_score

    classes = probabilities.shape[1]
    # scikit-learn prefers the last of equally probable classes, `argmax` the first: so the classes are reversed.
    reversed_scores = probabilities[:, ::-1].astype(np.float64)
    hits = top_k_accuracy_score(classes - 1 - labels, reversed_scores, k=k, labels=np.arange(classes), normalize=False)
    return int(hits)


def _thinned(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> Curve:
    chosen = np.unique(np.linspace(0, len(x) - 1, POINTS).round().astype(np.int64))
    return Curve(x[chosen], y[chosen])
