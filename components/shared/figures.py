"""Classification figures of a split, computed from its confusion matrix; used by `train` and `evaluate` alike.

A class without tiles in the split has no precision, recall or F1: its figures are undefined, and macro averages are
taken over the classes that have tiles. A class that has tiles but is never predicted has a precision of 0.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

OVERALL = ("accuracy", "balanced_accuracy", "macro_precision", "macro_recall", "macro_f1")
"""Figures of which a split has one each."""
PER_CLASS = ("recall", "precision", "f1")
"""Figures of which each class that has tiles has one each."""

SUM_TOLERANCE = 1e-2
"""Accepted distance of a sum of probabilities from 1, wide enough for a softmax in half precision over many classes."""

# MLflow allows `/` and `:` in the name of a metric too, but `/` groups names and `:` is not allowed in file names on
# Windows.
_NOT_ALLOWED = re.compile(r"[^\w.\- ]")
_LONGEST_NAME = 150  # MLflow: 250 with the prefix; databases may count one letter as several bytes


@dataclass(frozen=True, eq=False)
class ClassificationFigures:
    """Figures of one split, all fractions; those of classes without tiles are NaN."""

    support: NDArray[np.int64]
    """Tiles per class, `(classes,)`."""
    precision: NDArray[np.float64]
    """Share of the tiles predicted as the class that are of the class, `(classes,)`."""
    recall: NDArray[np.float64]
    """Share of the class's tiles that are predicted as the class, `(classes,)`."""
    f1: NDArray[np.float64]
    """Harmonic mean of precision and recall, `(classes,)`."""
    overall: dict[str, float]
    """The figures of `OVERALL` by name, all finite; empty for a split without tiles."""


def confusion_matrix(labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Count tiles by true class (row) and predicted class (column), both `(tiles,)`, as int64 `(classes, classes)`."""
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)


def classification_figures(confusion: NDArray[np.integer]) -> ClassificationFigures:
    """Compute all figures of a split.

    Args:
        confusion: tiles by true class (row) and predicted class (column), integers, `(classes, classes)`.

    Returns:
        The figures. Balanced accuracy and macro recall are the same number under their two usual names.
    """
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support

    confusion = np.asarray(confusion)
    support = confusion.sum(axis=1).astype(np.int64)
    present = np.flatnonzero(support)
    per_class = {name: np.full(len(support), np.nan) for name in PER_CLASS}
    if not present.size:
        return ClassificationFigures(support, overall={}, **per_class)
    # Each cell is one pair of labels weighted by its tiles: exact, and independent of the size of the split.
    true, predicted = np.nonzero(confusion)
    tiles = confusion[true, predicted]
    precision, recall, f1, _ = precision_recall_fscore_support(
        true, predicted, labels=present, sample_weight=tiles, zero_division=0
    )
    for name, values in (("precision", precision), ("recall", recall), ("f1", f1)):
        per_class[name][present] = values
    accuracy = accuracy_score(true, predicted, sample_weight=tiles)
    overall_values = (accuracy, recall.mean(), precision.mean(), recall.mean(), f1.mean())
    overall = dict(zip(OVERALL, map(float, overall_values), strict=True))
    return ClassificationFigures(support, overall=overall, **per_class)


def class_labels(class_names: Sequence[str]) -> tuple[str, ...]:
    """Turn class names into labels that trackers accept in the name of a metric.

    Characters other than letters of any script, digits, `_`, `-`, `.` and spaces become `_`. A label that another class
    already has, or that differs from it only in case, which some databases ignore, gets the class's number (from 1)
    appended.
    """
    labels: list[str] = []
    for number, name in enumerate(class_names, start=1):
        label = _NOT_ALLOWED.sub("_", name).strip()[:_LONGEST_NAME]
        label = label if label.strip(".") else f"class {number}"  # `.` and `..` are not valid file names
        while label.casefold() in {other.casefold() for other in labels}:
            label += f"-{number}"
        labels.append(label)
    return tuple(labels)
