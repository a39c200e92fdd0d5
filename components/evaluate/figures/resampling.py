"""Bootstrap intervals of the figures of a split.

The tiles are resampled with replacement. For a figure of the confusion matrix, a resample is a draw from a multinomial
distribution over its cells, which is the same distribution and needs no tiles: 1,000 resamples of 10 classes take
milliseconds for any number of tiles. Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tilepipe.components.evaluate.figures.arrays import Counts, Floats

COVERAGE = 0.95
_CELLS_AT_A_TIME = 2_000_000
_LOSS_GROUPS = 1024
_MEANS_AT_A_TIME = 8
"""Resamples per call of BLAS: few enough for one thread. Further threads would wait busily for 0.1 s after the call."""


class Interval(NamedTuple):
    """Bounds of a 95 % interval, both finite."""

    low: float
    high: float


def confusion_intervals(confusion: Counts, resamples: int, rng: np.random.Generator) -> dict[str, Interval]:
    """Compute percentile intervals of the figures of a confusion matrix.

    Args:
        confusion: tiles by label (row) and predicted class (column), int64, `(classes, classes)`; at least one tile.
        resamples: number of resamples.
        rng: source of the random draws.

    Returns:
        Intervals by name of the figure. A figure that has the same value in all resamples has no interval: a bootstrap
        of tiles that all agree says nothing about other tiles.
    """
    rows, columns = np.nonzero(confusion)
    tiles = confusion[rows, columns]
    classes, total = len(confusion), int(tiles.sum())
    values: dict[str, list[Floats]] = {}
    for count in _chunks(resamples, max(1, _CELLS_AT_A_TIME // (len(tiles) + 4 * classes))):
        drawn = rng.multinomial(total, tiles / total, size=count)
        for name, some in _figures(drawn, rows, columns, classes).items():
            values.setdefault(name, []).append(some)
    intervals = {name: _interval(np.concatenate(parts)) for name, parts in values.items()}
    return {name: interval for name, interval in intervals.items() if interval}


def share_interval(hits: int, tiles: int, resamples: int, rng: np.random.Generator) -> Interval | None:
    """Compute the percentile interval of a share of tiles; None where all tiles agree."""
    return _interval(rng.binomial(tiles, hits / tiles, size=resamples) / tiles)


def mean_interval(values: Floats, resamples: int, rng: np.random.Generator) -> Interval | None:
    """Compute the percentile interval of a mean over tiles; None where all values are equal.

    Beyond 1,024 tiles, each group of neighbors in the order of the values is replaced by its mean.
    """
    groups = np.array_split(np.sort(values), min(len(values), _LOSS_GROUPS))
    sizes = np.array([len(group) for group in groups])
    means = np.array([group.mean() for group in groups])
    if np.ptp(values) == 0:
        return None
    counts = _chunks(resamples, _MEANS_AT_A_TIME)
    sums = [rng.multinomial(len(values), sizes / len(values), size=count) @ means for count in counts]
    return _interval(np.concatenate(sums) / len(values))


def _chunks(resamples: int, size: int) -> Iterator[int]:
    for start in range(0, resamples, size):
        yield min(size, resamples - start)


def _figures(drawn: Counts, rows: Counts, columns: Counts, classes: int) -> Mapping[str, Floats]:
    """Compute the figures of many confusion matrices, of which only the cells at `rows` and `columns` are not zero.

    Args:
        drawn: tiles by matrix and cell, int64, `(matrices, cells)`.
        rows: label of each cell.
        columns: predicted class of each cell.
        classes: number of classes.

    Returns:
        One value per matrix, by name of the figure; NaN where it is undefined.
    """
    from scipy.sparse import csr_array

    cells, ones = np.arange(len(rows)), np.ones(len(rows))

    def summed(by: Counts, which: npt.NDArray[np.bool_] | slice = slice(None)) -> Floats:
        indicator = csr_array((ones[which], (cells[which], by[which])), shape=(len(rows), classes))
        return np.asarray(drawn @ indicator, dtype=np.float64)

    support, predicted, right = summed(rows), summed(columns), summed(rows, rows == columns)
    total = drawn.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        recall, precision = right / support, np.where(predicted > 0, right / predicted, 0.0)
        f1 = 2 * right / (support + predicted)
        present = support > 0
        precision, f1 = np.where(present, precision, np.nan), np.where(present, f1, np.nan)
        accuracy = right.sum(axis=1) / total
        chance = (support * predicted).sum(axis=1) / total**2
        # https://scikit-learn.org/stable/modules/model_evaluation.html#matthews-correlation-coefficient
        spread = (1 - (predicted**2).sum(axis=1) / total**2) * (1 - (support**2).sum(axis=1) / total**2)
        kappa, matthews = (accuracy - chance) / (1 - chance), (accuracy - chance) / np.sqrt(spread)
        return {
            "accuracy": accuracy,
            "balanced_accuracy": np.nanmean(recall, axis=1),
            "macro_precision": np.nanmean(precision, axis=1),
            "macro_recall": np.nanmean(recall, axis=1),
            "macro_f1": np.nanmean(f1, axis=1),
            "weighted_f1": np.nansum(f1 * support, axis=1) / total,
            "cohen_kappa": kappa,
            "matthews_correlation": matthews,
        }


def _interval(values: Floats) -> Interval | None:
    """Take the quantiles of the defined values; None if they are all equal, or if most are undefined."""
    defined = values[np.isfinite(values)]
    if len(defined) <= len(values) / 2 or np.ptp(defined) < 1e-12:  # rounding aside
        return None
    low, high = np.quantile(defined, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return Interval(float(low), float(high))
