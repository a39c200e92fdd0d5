"""Figures of how well probabilities rank the tiles: top-k accuracy, and PR and ROC curves per class.

Each class is compared with all others. A figure that a class cannot have, such as the average precision of a class
without tiles, is undefined: NaN in arrays, and left out elsewhere.
"""

from dataclasses import dataclass
from typing import NamedTuple

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


class ClassCurves(NamedTuple):
    """Curves of one class against all others; None where a curve is undefined."""

    precision_recall: Curve | None
    """Precision (y) against recall (x), from the lowest recall to recall 1."""
    roc: Curve | None
    """True positive rate (y) against false positive rate (x)."""


@dataclass(frozen=True, eq=False)
class ClassRanking:
    """Figures of each class against all others."""

    average_precision: Floats
    """Area under the precision-recall curve as a sum of steps, `(classes,)`; NaN for a class without tiles."""
    auc: Floats
    """Area under the ROC curve, `(classes,)`; NaN for a class with no tile or with all tiles."""
    curves: tuple[ClassCurves, ...]
    """Curves of each class."""

    def scalars(self) -> dict[str, float]:
        """Return the means over the classes where a figure is defined, by name; left out if there is none."""
        return {
            name: float(np.nanmean(values))
            for name, values in (("macro_average_precision", self.average_precision), ("macro_auc", self.auc))
            if not np.isnan(values).all()
        }


def rank_classes(labels: Counts, probabilities: Probabilities) -> ClassRanking:
    """Compute curves of each class by scikit-learn, and the areas under them: average precision and ROC AUC.

    Args:
        labels: true classes, int64, `(tiles,)`.
        probabilities: of each class, float32, `(tiles, classes)`.

    Returns:
        The figures, and at most `POINTS` points of each curve.
    """
    classes = probabilities.shape[1]
    average_precision, auc = np.full(classes, np.nan), np.full(classes, np.nan)
    curves = []
    for index, count in enumerate(np.bincount(labels, minlength=classes)):
        positive, scores = labels == index, probabilities[:, index].astype(np.float64)
        precision_recall = roc = None
        if count:
            average_precision[index], precision_recall = _precision_recall(positive, scores)
            if count < len(labels):
                auc[index], roc = _roc(positive, scores)
        curves.append(ClassCurves(precision_recall, roc))
    return ClassRanking(average_precision, auc, tuple(curves))


def _precision_recall(positive: npt.NDArray[np.bool_], scores: Floats) -> tuple[float, Curve]:
    from sklearn.metrics import precision_recall_curve

    precision, recall, _ = precision_recall_curve(positive, scores)
    # That of `average_precision_score`, which would sort the scores again.
    area = max(0.0, -float(np.sum(np.diff(recall) * precision[:-1])))
    changes = np.diff(recall[:-1]) != 0
    kept = np.ones(len(recall), np.bool_)
    kept[1:-2] = changes[:-1] | changes[1:]  # those of `drop_intermediate=True`
    return area, _thinned(recall[kept][::-1], precision[kept][::-1])


def _roc(positive: npt.NDArray[np.bool_], scores: Floats) -> tuple[float, Curve]:
    from sklearn.metrics import auc, roc_curve

    # The first threshold is infinite, so thresholds are left out.
    false_positive, true_positive, _ = roc_curve(positive, scores)
    return auc(false_positive, true_positive), _thinned(false_positive, true_positive)


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
