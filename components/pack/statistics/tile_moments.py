"""Accumulation of the moments of the tiles of a shard."""

from typing import Any

import numpy as np
import numpy.typing as npt

from tilepipe.components.pack.statistics.moments import ExactMoments, Moments, RunningMoments
from tilepipe.components.shared.tiles.picture import Mask, Pixels

_BLOCK_VALUES = 1 << 16
"""Number of values processed at a time: with 32 bits each, they fit into the CPU cache. The sum of as many squares of
16-bit integers is below 2**53, so float64 represents it exactly."""
_MOST_ROWS = 1 << 30
"""Number of squares of 16-bit integers whose sum is below 2**63."""


class TileMoments:
    """Accumulator of the moments of tiles of one size."""

    def __init__(self) -> None:
        self._total: Moments | None = None
        self._columns: _Columns | None = None

    def add(self, image: Pixels, valid: Mask | None = None) -> None:
        """Add a tile.

        Args:
            image: `(height, width, bands)`, integers of at most 16 bits, or floats.
            valid: True for values to count, bool, same shape. Defaults to all.
        """
        if image.dtype.kind == "f":
            self._merge(_running(image, valid))
            return
        if self._columns is None:
            self._columns = _Columns(image)
        self._columns.add(image, valid)
        if self._columns.rows > _MOST_ROWS:
            self._settle()

    def moments(self) -> Moments:
        """Return the moments of all tiles so far, at least one; exact for integers."""
        self._settle()
        if self._total is None:
            raise ValueError("Moments are of one tile or more. Received: none.")
        return self._total

    def _settle(self) -> None:
        if self._columns is not None:
            self._merge(self._columns.moments())
            self._columns = None

    def _merge(self, found: Moments) -> None:
        self._total = found if self._total is None else self._total.merged(found)


class _Columns:
    """Accumulator of sums of integers over the columns of the tiles, with the bands side by side.

    Vectors are added to vectors and reduced per band once, at the end: a sum per band would stride through memory, and
    converting the sums of each tile to Python integers takes half as long as the sums.

    Args:
        image: a tile, which gives shape and dtype.
    """

    def __init__(self, image: Pixels) -> None:
        _, self._width, self._bands = image.shape
        columns, limits = self._width * self._bands, np.iinfo(image.dtype)
        self.rows = 0
        self._counts, self._sums, self._squares = np.zeros((3, columns), np.int64)
        self._lowest, self._highest = (np.full(columns, limit, image.dtype) for limit in (limits.max, limits.min))
        height = max(1, _BLOCK_VALUES // columns)
        # Reused, since newly allocated memory causes page faults.
        self._wide = np.empty((height, columns), np.uint32 if image.dtype.kind == "u" else np.int32)
        self._floats: npt.NDArray[np.float64] | None = None

    def add(self, image: Pixels, valid: Mask | None) -> None:
        rows = image.reshape(-1, self._sums.size)
        chosen = None if valid is None else valid.reshape(rows.shape)
        for top in range(0, len(rows), len(self._wide)):
            block = slice(top, top + len(self._wide))
            self._add(rows[block], None if chosen is None else chosen[block])
        self.rows += len(rows)

    def moments(self) -> ExactMoments:
        def by_band(columns: npt.NDArray[Any]) -> npt.NDArray[Any]:
            return columns.reshape(self._width, self._bands)

        counts, sums, squares = (
            tuple(by_band(columns).astype(object).sum(axis=0).tolist())  # Python integers do not overflow
            for columns in (self._counts, self._sums, self._squares)
        )
        lowest, highest = by_band(self._lowest).min(axis=0), by_band(self._highest).max(axis=0)
        return ExactMoments(counts, sums, squares, tuple(lowest.tolist()), tuple(highest.tolist()))

    def _add(self, rows: Pixels, chosen: Mask | None) -> None:
        lows = highs = rows
        if chosen is None:
            self._counts += len(rows)
        else:
            self._counts += chosen.sum(axis=0)
            limits = np.iinfo(rows.dtype)
            rows, lows, highs = (np.where(chosen, rows, rows.dtype.type(low)) for low in (0, limits.max, limits.min))
        low, high = np.minimum.reduce(lows, axis=0), np.maximum.reduce(highs, axis=0)
        np.minimum(self._lowest, low, out=self._lowest)
        np.maximum(self._highest, high, out=self._highest)
        largest = max(abs(int(low.min())), abs(int(high.max())))
        wide = self._wide[: len(rows)]
        if largest * largest * len(rows) <= np.iinfo(wide.dtype).max:
            np.copyto(wide, rows)
            self._sums += np.add.reduce(wide, axis=0, dtype=wide.dtype)
            np.multiply(wide, wide, out=wide)
            self._squares += np.add.reduce(wide, axis=0, dtype=wide.dtype)
        else:  # half as fast; 64-bit integers are slower still, without a fast multiply-add
            if self._floats is None:
                self._floats = np.empty(self._wide.shape, np.float64)
            floats = self._floats[: len(rows)]
            np.copyto(floats, rows)
            self._sums += floats.sum(axis=0).astype(np.int64)
            self._squares += np.einsum("ij,ij->j", floats, floats).astype(np.int64)


def _running(image: Pixels, valid: Mask | None) -> Moments:
    # Bands first, since reductions over short last axes are several times slower.
    bands = image.shape[-1]
    pixels = np.ascontiguousarray(image.reshape(-1, bands).T)
    if valid is None:
        deviations = pixels.astype(np.float64)
        mean = deviations.mean(axis=1)
        deviations -= mean[:, None]
        counts = np.full(bands, pixels.shape[1], np.int64)
        lows = highs = pixels
    else:
        chosen = np.ascontiguousarray(valid.reshape(-1, bands).T)
        counts = chosen.sum(axis=1, dtype=np.int64)
        deviations = np.where(chosen, pixels, 0).astype(np.float64)
        mean = deviations.sum(axis=1) / np.maximum(counts, 1)
        deviations = np.where(chosen, deviations - mean[:, None], 0.0)
        lows, highs = np.where(chosen, pixels, np.inf), np.where(chosen, pixels, -np.inf)
    squares = np.einsum("ij,ij->i", deviations, deviations)
    lowest, highest = lows.min(axis=1).astype(np.float64), highs.max(axis=1).astype(np.float64)
    return RunningMoments(counts, mean, squares, lowest, highest)
