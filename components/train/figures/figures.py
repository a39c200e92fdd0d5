"""The figures of a split, from what was counted over all of its tiles: exact, and nothing is averaged over batches."""

import io
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilepipe.components.shared.errors import ParameterError

PER_CLASS = ("recall", "precision", "f1")
"""Figures that each class has one of; the class's name follows a slash, by which MLflow and W&B group them."""
_OVERALL = ("accuracy", "balanced_accuracy", "macro_precision", "macro_f1")

# What MLflow takes in a metric's name, less `/` and `:`, which would group a name's parts or hurt on Windows.
_NOT_ALLOWED = re.compile(r"[^\w.\- ]")
_LONGEST_NAME = 150  # MLflow: 250 with the prefix; databases may count a letter of any script as several


def class_labels(class_names: Sequence[str]) -> tuple[str, ...]:
    """The classes' names as trackers take them in the name of a figure.

    What is not a letter of any script, a digit, `_`, `-`, `.` or a space becomes `_`. Classes whose names would then be
    the same, or differ in case alone, which some databases cannot tell apart, get their number appended, from 1.
    """
    labels: list[str] = []
    for number, name in enumerate(class_names, start=1):
        label = _NOT_ALLOWED.sub("_", name).strip()[:_LONGEST_NAME]
        label = label if label.strip(".") else f"class {number}"  # `.` and `..` are no names of files
        while label.casefold() in {other.casefold() for other in labels}:
            label += f"-{number}"
        labels.append(label)
    return tuple(labels)


def figure_names(class_names: Sequence[str], prefix: str = "val_") -> tuple[str, ...]:
    """The names of all figures that `epoch_figures` makes."""
    per_class = (f"{prefix}{name}/{label}" for name in PER_CLASS for label in class_labels(class_names))
    return (*(f"{prefix}{name}" for name in _OVERALL), *per_class)


def check_best_metric(metric: str, class_names: Sequence[str]) -> None:
    """Refuse a figure that no epoch will have.

    Raises:
        ParameterError: it is neither the validation loss nor a figure of the validation tiles' classes.
    """
    known = ("val_loss", *figure_names(class_names))
    if metric not in known:
        shown = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
        raise ParameterError(
            f"`best_metric` must be a figure of the validation tiles. Received: best_metric={metric!r}. "
            f"Use one of: {shown}."
        )


def epoch_figures(counts: NDArray[np.integer], class_names: Sequence[str], prefix: str = "val_") -> dict[str, float]:
    """The figures of a split.

    Args:
        counts: tiles by true class and by the class that the model gave, integers, `(classes, classes)`.
        class_names: one a class, in that order.
        prefix: put before each name: `val_`, or `train_`.

    Returns:
        `accuracy`; `balanced_accuracy`, the mean of the recalls of those classes that occur; `macro_precision` and
        `macro_f1`, means over those classes that occur or were given; then `recall/<class>`, `precision/<class>` and
        `f1/<class>` for each class. All are fractions. A precision without predictions, a recall without tiles and an
        F1 without either are 0, as scikit-learn's `zero_division=0` has it.
    """
    counts = np.asarray(counts, np.float64)
    hits, occur, given = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    per_class = {
        "recall": _ratio(hits, occur),
        "precision": _ratio(hits, given),
        "f1": _ratio(2 * hits, occur + given),
    }
    present = occur + given > 0
    overall = (
        float(hits.sum() / max(counts.sum(), 1)),
        _mean(per_class["recall"][occur > 0]),
        _mean(per_class["precision"][present]),
        _mean(per_class["f1"][present]),
    )
    values = [*overall, *(float(value) for name in PER_CLASS for value in per_class[name])]
    return dict(zip(figure_names(class_names, prefix), values, strict=True))


def score_curves(counts: NDArray[np.integer]) -> dict[str, NDArray[np.float32]]:
    """Precision and recall of each class against the score from which on a tile counts as of the class.

    Args:
        counts: tiles by class, by the bin that the class's score fell into, and by whether the tile is of the class (0
            or 1), integers, `(classes, bins, 2)`.

    Returns:
        `threshold`, float32, `(bins,)`; `precision` and `recall`, float32, `(classes, bins)`. A precision without
        tiles at or above the threshold is 1, as in scikit-learn's `precision_recall_curve`.
    """
    at_or_above = np.asarray(counts, np.int64)[:, ::-1].cumsum(axis=1)[:, ::-1]
    hits, positives = at_or_above[..., 1].astype(np.float64), at_or_above.sum(axis=-1)
    bins = at_or_above.shape[1]
    return {
        "threshold": (np.arange(bins) / bins).astype(np.float32),
        "precision": np.where(positives > 0, _ratio(hits, positives), 1.0).astype(np.float32),
        "recall": _ratio(hits, hits[:, :1]).astype(np.float32),
    }


def curves_file(
    class_names: Sequence[str], counts: NDArray[np.integer], scores: NDArray[np.integer] | None = None
) -> bytes:
    """The arrays of an epoch as a compressed NPZ file: the same arrays give the same bytes.

    Args:
        class_names: one a class.
        counts: as `epoch_figures` takes them; in the file as `confusion`.
        scores: as `score_curves` takes them, whose arrays are then in the file.

    Returns:
        The file's content; `numpy.load` reads it without pickling.
    """
    arrays: dict[str, Any] = {} if scores is None else dict(score_curves(scores))
    content = io.BytesIO()
    np.savez_compressed(content, class_names=np.array(class_names), confusion=np.asarray(counts), **arrays)
    return content.getvalue()


def _ratio(part: NDArray[np.floating], whole: NDArray[np.number]) -> NDArray[np.float64]:
    whole = np.broadcast_to(np.asarray(whole, np.float64), part.shape)
    ratios: NDArray[np.float64] = np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0)
    return ratios


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if values.size else 0.0
