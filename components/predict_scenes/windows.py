"""Where the windows of a scene are, and in which rectangles their pixels are read."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from tilepipe.components.predict_scenes.config import Resolution
from tilepipe.components.shared.errors import ParameterError, SourceError

CHUNK_BYTES = 24 * 2**20
"""Approximate size of the pixels that are read at once; two such rectangles are in memory."""

_CHUNK_ROWS = 512
"""Rows that are read at once: those of a usual block of a COG."""

_MOST_PER_TILE = 16
"""Largest number of windows that may cover a pixel along one side."""


@dataclass(frozen=True)
class Axis:
    """Windows along one side of a scene.

    The windows start at multiples of the stride. The last one is moved inwards so that it ends where the scene ends;
    pixels at the edge then have a class too, and no window needs padding.
    """

    length: int
    """Pixels of the scene."""
    tile: int
    """Pixels of a window."""
    stride: int
    cell: int
    """Pixels of the scene per pixel of the class map."""

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """First pixel of each window."""
        count = math.ceil((self.length - self.tile) / self.stride) + 1
        return tuple(min(place * self.stride, self.length - self.tile) for place in range(count))

    @property
    def cells(self) -> int:
        """Pixels of the class map, the last of which may reach beyond the scene."""
        return math.ceil(self.length / self.cell)

    @property
    def cells_per_tile(self) -> int:
        """Pixels of the class map that a window covers."""
        return self.tile // self.cell

    def first_cell(self, start: int) -> int:
        """Return the first pixel of the class map that the window at a pixel of the scene covers."""
        return math.ceil(start / self.cell)  # rounded up only for the last window, which ends with the class map


@dataclass(frozen=True)
class Chunk:
    """Windows whose pixels are read at once: ranges of indexes along both sides."""

    rows: range
    columns: range


@dataclass(frozen=True)
class WindowPlan:
    """All windows of a scene."""

    down: Axis
    across: Axis

    @property
    def count(self) -> int:
        """Number of windows."""
        return len(self.down.starts) * len(self.across.starts)

    def bands_of_rows(self, block_height: int) -> Iterator[range]:
        """Yield ranges of rows of windows that are read together: about a block's height, at least one row."""
        rows = len(self.down.starts)
        wanted = min(max(block_height, 1), _CHUNK_ROWS)
        step = max(1, (wanted - self.down.tile) // self.down.stride + 1)
        for first in range(0, rows, step):
            yield range(first, min(first + step, rows))

    def chunks(self, rows: range, bytes_per_pixel: int) -> Iterator[Chunk]:
        """Divide rows of windows into chunks of bounded size, whatever the width of the scene.

        A pixel of `bytes_per_pixel` has all bands.
        """
        height = (len(rows) - 1) * self.down.stride + self.down.tile
        pixels = CHUNK_BYTES // (height * bytes_per_pixel)
        step = max(1, (pixels - self.across.tile) // self.across.stride + 1)
        columns = len(self.across.starts)
        for first in range(0, columns, step):
            yield Chunk(rows, range(first, min(first + step, columns)))


def plan_windows(
    scene: tuple[int, int], tile: tuple[int, int], stride: int, resolution: Resolution, name: str = "the scene"
) -> WindowPlan:
    """Place the windows.

    Args:
        scene: Height and width of the scene in pixels.
        tile: Height and width of a tile.
        stride: Distance between windows in pixels; 0 is the size of a tile.
        resolution: `window` gives a class map with one pixel per stride (for a stride that does not divide the tile,
            per greatest common divisor of both), `pixel` one with a pixel per pixel of the scene.
        name: Name of the scene, for the error.

    Raises:
        SourceError: The scene is smaller than a tile.
        ParameterError: The stride leaves gaps, or is much smaller than a tile.
    """
    if scene[0] < tile[0] or scene[1] < tile[1]:
        raise SourceError(
            f"A scene must be at least as large as a tile of the model, {tile[0]} x {tile[1]} pixels. Received: {name} "
            f"with {scene[0]} x {scene[1]}. Use a larger scene, or a smaller pixel size with pixel_metres."
        )
    least = math.ceil(max(tile) / _MOST_PER_TILE)
    if stride and not least <= stride <= min(tile):
        raise ParameterError(
            f"`stride_pixels` must be 0, or from {least} to {min(tile)} for tiles of {tile[0]} x {tile[1]} pixels. "
            f"Received: stride_pixels={stride}."
        )
    axes = []
    for length, side in zip(scene, tile, strict=True):
        step = stride or side
        axes.append(Axis(length, side, step, 1 if resolution == "pixel" else math.gcd(step, side)))
    return WindowPlan(*axes)
