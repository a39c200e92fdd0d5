"""Average the probabilities of overlapping windows, a row of windows at a time."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tilepipe.components.predict_scenes.windows import WindowPlan

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

NODATA = 255
"""Value of pixels without a class, and without a confidence."""

MAX_CLASSES = NODATA

_LEAST_WEIGHT = 1e-3
"""Weight at the edge of a window relative to its center, so that each pixel of the scene has a class."""


@dataclass(frozen=True)
class FinishedRows:
    """Rows of the class map to which no further window contributes."""

    first: int
    classes: npt.NDArray[np.uint8]
    """Index of the most probable class, or `NODATA`, `(rows, columns)`."""
    confidence: npt.NDArray[np.uint8]
    """Its probability in percent, or `NODATA`, `(rows, columns)`."""


class Blender:
    """Weighted sums of probabilities for the rows of the class map that the current row of windows covers.

    The weight of a window falls from its center to its edge, `sin²` along both sides, since a classifier knows less of
    the surroundings of pixels at the edge. Sums are added in the order of the windows, so that the same windows give
    the same map.

    Args:
        plan: The windows.
        classes: Number of classes.
    """

    def __init__(self, plan: WindowPlan, classes: int) -> None:
        self._plan = plan
        rows = plan.down.cells_per_tile
        self._weights = _taper(rows)[:, None] * _taper(plan.across.cells_per_tile)[None, :]
        self._sums = np.zeros((rows, plan.across.cells, classes), np.float32)
        self._total = np.zeros((rows, plan.across.cells), np.float32)
        self._starts = [plan.down.first_cell(start) for start in plan.down.starts]
        self._columns = [plan.across.first_cell(start) for start in plan.across.starts]

    def add(self, row: int, probabilities: Floats, is_classified: Mask, valid: Mask) -> FinishedRows:
        """Add a row of windows; rows must be added in order.

        Args:
            row: Index of the row.
            probabilities: Of each window, `(windows, classes)`.
            is_classified: Bool mask of the windows that have probabilities, `(windows,)`.
            valid: Bool mask of the valid pixels of the scene in the row, `(tile height, scene width)`.

        Returns:
            The rows of the class map that are finished.
        """
        width = self._plan.across.cells_per_tile
        for window in np.flatnonzero(is_classified):
            place = slice(self._columns[window], self._columns[window] + width)
            self._sums[:, place] += self._weights[:, :, None] * probabilities[window]
            self._total[:, place] += self._weights
        first = self._starts[row]
        end = self._starts[row + 1] if row + 1 < len(self._starts) else first + len(self._sums)
        return self._finish(first, end - first, self._valid_cells(row, valid))

    def _valid_cells(self, row: int, valid: Mask) -> Mask:
        """Return which pixels of the class map have a valid pixel of the scene, `(cells per tile, columns)`."""
        down, across = self._plan.down, self._plan.across
        if down.cell == across.cell == 1:
            return valid
        padded: Any = np.zeros((valid.shape[0], across.cells * across.cell), np.bool_)
        above = self._starts[row] * down.cell - down.starts[row]  # the last row of windows may start within a pixel
        padded[: len(valid) - above, : valid.shape[1]] = valid[above:]
        cells: Mask = padded.reshape(down.cells_per_tile, down.cell, across.cells, across.cell).any(axis=(1, 3))
        return cells

    def _finish(self, first: int, rows: int, valid: Mask) -> FinishedRows:
        sums, total = self._sums[:rows], self._total[:rows]
        best = sums.argmax(axis=-1)
        has_class = valid[:rows] & (total > 0)
        highest = np.take_along_axis(sums, best[..., None], -1)[..., 0]
        share = np.divide(highest, total, out=np.zeros_like(total), where=total > 0)
        percent = np.rint(100 * share).clip(0, 100)
        finished = FinishedRows(
            first,
            np.where(has_class, best, NODATA).astype(np.uint8),
            np.where(has_class, percent, NODATA).astype(np.uint8),
        )
        for values in (self._sums, self._total):
            values[: len(values) - rows] = values[rows:].copy()
            values[len(values) - rows :] = 0
        return finished


def _taper(cells: int) -> Floats:
    """Return the weights along a side of a window, highest in the middle, `(cells,)`."""
    position = (np.arange(cells) + 0.5) / cells
    weights: Floats = np.maximum(np.sin(np.pi * position) ** 2, _LEAST_WEIGHT).astype(np.float32)
    return weights
