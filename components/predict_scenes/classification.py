"""Classify the windows of a scene in constant memory: read ahead, call the model in batches, blend row by row."""

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt

from tilepipe.components.predict_scenes.blending import Blender
from tilepipe.components.predict_scenes.output.class_map import MapWriter
from tilepipe.components.predict_scenes.scene.scene_grid import Pixels, SceneGrid
from tilepipe.components.predict_scenes.scene.scene_mask import Mask
from tilepipe.components.predict_scenes.windows import Chunk, WindowPlan
from tilepipe.components.shared.inference.bundle_model import BundleModel
from tilepipe.components.shared.logs.progress import Progress
from tilepipe.components.shared.runtime.parallel import map_in_order

logger = logging.getLogger("tilepipe.predict_scenes")

_READ_AHEAD = 2
"""Chunks that are read while one is classified."""


@dataclass
class _Rows:
    """State of rows of windows that are read together."""

    rows: range
    first_pixel: int
    probabilities: npt.NDArray[np.float32]
    """`(rows, columns, classes)`."""
    is_classified: Mask
    """`(rows, columns)`."""
    valid: Mask
    """Valid pixels of the scene, `(height, width)`."""


def classify(
    model: BundleModel,
    grid: SceneGrid,
    plan: WindowPlan,
    writer: MapWriter,
    *,
    max_nodata_percent: float,
    batch_windows: int,
) -> int:
    """Classify all windows, and write the class map.

    Args:
        model: The model.
        grid: Pixels of the scene.
        plan: Windows of the scene.
        writer: Receives the finished rows of the map.
        max_nodata_percent: Largest percentage of invalid pixels in a window that is classified.
        batch_windows: Windows per call of the model.

    Returns:
        Number of windows that were classified.
    """
    blender = Blender(plan, len(model.class_names))
    progress = Progress(logger, "classified", plan.count, "windows")
    bytes_per_pixel = len(model.bands) * np.dtype(model.dtype).itemsize
    chunks = [chunk for rows in plan.bands_of_rows(grid.block_height) for chunk in plan.chunks(rows, bytes_per_pixel)]
    largest = max(math.prod(map(len, _extent(plan, chunk))) for chunk in chunks) * len(model.bands)
    # New memory for each chunk would cost a fifth of reading it.
    memories: SimpleQueue[Pixels] = SimpleQueue()
    for _ in range(_READ_AHEAD + 1):
        memories.put(np.empty(largest, model.dtype))

    def read(chunk: Chunk) -> tuple[Chunk, Pixels, Pixels, Mask]:
        down, across = _extent(plan, chunk)
        memory = memories.get()
        return chunk, memory, *grid.read(down.start, across.start, len(down), len(across), memory)

    buffer = np.empty((batch_windows, *model.tile_shape), model.dtype)
    classified = 0
    state: _Rows | None = None
    for chunk, memory, pixels, valid in map_in_order(read, chunks, threads=1, window=_READ_AHEAD):
        if state is None or state.rows != chunk.rows:
            state = _new_rows(plan, chunk, len(model.class_names))
        _, across = _extent(plan, chunk)
        state.valid[:, across.start : across.stop] = valid
        windows = list(_windows(plan, chunk, valid, max_nodata_percent))
        for first in range(0, len(windows), batch_windows):
            batch = windows[first : first + batch_windows]
            _cut(plan, chunk, pixels, batch, buffer)
            places = tuple(np.array(batch).T - [[chunk.rows.start], [0]])
            state.probabilities[places] = model.predict(buffer[: len(batch)])
            state.is_classified[places] = True
            progress.advance(len(batch))
        memories.put(memory)
        classified += len(windows)
        progress.advance(len(chunk.rows) * len(chunk.columns) - len(windows))
        if chunk.columns.stop == len(plan.across.starts):
            _write(plan, state, blender, writer)
    return classified


def _extent(plan: WindowPlan, chunk: Chunk) -> tuple[range, range]:
    """Return the rows and columns of pixels that the windows of a chunk cover."""
    down, across = plan.down, plan.across
    return (
        range(down.starts[chunk.rows[0]], down.starts[chunk.rows[-1]] + down.tile),
        range(across.starts[chunk.columns[0]], across.starts[chunk.columns[-1]] + across.tile),
    )


def _new_rows(plan: WindowPlan, chunk: Chunk, classes: int) -> _Rows:
    extent, _ = _extent(plan, chunk)
    shape = (len(chunk.rows), len(plan.across.starts))
    return _Rows(
        chunk.rows,
        extent.start,
        np.zeros((*shape, classes), np.float32),
        np.zeros(shape, np.bool_),
        np.zeros((len(extent), plan.across.length), np.bool_),
    )


def _windows(plan: WindowPlan, chunk: Chunk, valid: Mask, max_nodata_percent: float) -> Iterator[tuple[int, int]]:
    """Yield row and column of the windows of a chunk that have enough valid pixels."""
    all_valid = bool(valid.all())
    down, across = _extent(plan, chunk)
    height, width = plan.down.tile, plan.across.tile
    least = (1 - max_nodata_percent / 100) * height * width
    sums: Any = None
    if not all_valid:
        sums = np.zeros((valid.shape[0] + 1, valid.shape[1] + 1), np.int64)
        sums[1:, 1:] = valid.cumsum(axis=0, dtype=np.int64).cumsum(axis=1)
    for row in chunk.rows:
        top = plan.down.starts[row] - down.start
        for column in chunk.columns:
            if not all_valid:
                left = plan.across.starts[column] - across.start
                bottom, right = top + height, left + width
                count = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
                if not count or count < least:
                    continue
            yield row, column


def _cut(plan: WindowPlan, chunk: Chunk, pixels: Pixels, windows: list[tuple[int, int]], tiles: Pixels) -> None:
    """Copy windows of a chunk into `tiles`, `(windows, height, width, bands)`, which is reused for each batch."""
    down, across = _extent(plan, chunk)
    height, width = plan.down.tile, plan.across.tile
    for place, (row, column) in enumerate(windows):
        top, left = plan.down.starts[row] - down.start, plan.across.starts[column] - across.start
        tiles[place] = pixels[top : top + height, left : left + width]


def _write(plan: WindowPlan, state: _Rows, blender: Blender, writer: MapWriter) -> None:
    for place, row in enumerate(state.rows):
        top = plan.down.starts[row] - state.first_pixel
        valid = state.valid[top : top + plan.down.tile]
        writer.write(blender.add(row, state.probabilities[place], state.is_classified[place], valid))
