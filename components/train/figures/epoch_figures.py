"""Figures of a split by name, and its precision and recall curves, from counts over all of its tiles.

`components/shared/figures.py` defines the figures; `evaluate` reports the same ones.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilepipe.components.shared.errors import ParameterError, closest
from tilepipe.components.shared.figures import OVERALL, PER_CLASS, class_labels, classification_figures


def figure_names(class_names: Sequence[str], tiles: Sequence[int]) -> tuple[str, ...]:
    """List the names of all validation figures, in the order of `epoch_figures`; a class without tiles has none."""
    labels = [label for label, count in zip(class_labels(class_names), tiles, strict=True) if count]
    per_class = (f"val_{name}/{label}" for name in PER_CLASS for label in labels)
    return (*(f"val_{name}" for name in OVERALL), *per_class)


def check_name_of_metric(metric: str, parameter: str = "best_metric") -> None:
    """Check the name of the figure that chooses the best epoch as far as possible without knowing the classes.

    Args:
        metric: name of the figure.
        parameter: name of the parameter, for the message. Defaults to `best_metric`.

    Raises:
        ParameterError: no data set has such a figure.
    """
    known = ["val_loss", *(f"val_{name}" for name in OVERALL)]
    start, separator, label = metric.partition("/")
    if metric in known or (label and start in {f"val_{name}" for name in PER_CLASS}):
        return
    shown = [*known, *(f"val_{name}/<class>" for name in PER_CLASS)]
    choices = [f"val_{name}" for name in PER_CLASS] if separator else known
    close = closest(start, choices) or closest(f"val_{start}", choices)
    hint = f"Did you mean {close}{separator}{label}?" if close else f"Use one of: {', '.join(shown)}."
    raise ParameterError(
        f"`{parameter}` must be a figure of the validation tiles. Received: {parameter}={metric!r}. {hint}"
    )


def check_best_metric(
    metric: str, class_names: Sequence[str], tiles_per_class: Mapping[str, int], parameter: str = "best_metric"
) -> None:
    """Check that each epoch has the figure that chooses the best epoch.

    Args:
        metric: name of the figure.
        class_names: names of the classes.
        tiles_per_class: validation tiles by class name; a class that is missing has none.
        parameter: name of the parameter, for the message. Defaults to `best_metric`.

    Raises:
        ParameterError: the metric is neither the validation loss nor a figure of the validation tiles.
    """
    tiles = [tiles_per_class.get(name, 0) for name in class_names]
    known = ("val_loss", *figure_names(class_names, tiles))
    if metric not in known:
        shown = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
        raise ParameterError(
            f"`{parameter}` must be a figure of the validation tiles, overall or of a class that has such tiles. "
            f"Received: {parameter}={metric!r}. Use one of: {shown}."
        )


def epoch_figures(counts: NDArray[np.integer], class_names: Sequence[str]) -> dict[str, float]:
    """Compute the figures of the validation tiles.

    Args:
        counts: tiles by true class (row) and predicted class (column), integers, `(classes, classes)`.
        class_names: names of the classes, in the order of `counts`.

    Returns:
        `val_accuracy`, `val_balanced_accuracy`, `val_macro_precision`, `val_macro_recall` and `val_macro_f1`, where
        macro averages are over the classes that have tiles; then `val_recall/<class>`, `val_precision/<class>` and
        `val_f1/<class>` of each such class. All are finite fractions; without tiles there are none.
    """
    figures = classification_figures(counts)
    per_class = (getattr(figures, name)[figures.support > 0] for name in PER_CLASS)
    values = [*figures.overall.values(), *(float(value) for array in per_class for value in array)]
    if not values:
        return {}
    return dict(zip(figure_names(class_names, figures.support.tolist()), values, strict=True))


def score_curves(counts: NDArray[np.integer]) -> dict[str, NDArray[np.float32]]:
    """Compute precision and recall of each class at evenly spaced score thresholds.

    Args:
        counts: tiles by class, by bin of that class's score, and by whether the tile is of the class (0 or 1),
            integers, `(classes, bins, 2)`.

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
    """Write the arrays of an epoch as a compressed NPZ file; equal arrays give equal bytes.

    Args:
        class_names: names of the classes.
        counts: confusion matrix, as in `epoch_figures`; stored as `confusion`.
        scores: counts by score, as in `score_curves`; if given, its curves are stored too.

    Returns:
        The content of the file; `numpy.load` reads it without pickling.
    """
    arrays: dict[str, Any] = {} if scores is None else dict(score_curves(scores))
    content = io.BytesIO()
    np.savez_compressed(content, class_names=np.array(class_names), confusion=np.asarray(counts), **arrays)
    return content.getvalue()


def _ratio(part: NDArray[np.floating], whole: NDArray[np.number]) -> NDArray[np.float64]:
    whole = np.broadcast_to(np.asarray(whole, np.float64), part.shape)
    ratios: NDArray[np.float64] = np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0)
    return ratios
