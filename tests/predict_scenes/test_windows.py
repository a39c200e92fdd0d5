"""Places of windows, and the rectangles in which they are read."""

import itertools

import pytest

from tilepipe.components.predict_scenes.windows import CHUNK_BYTES, plan_windows


@pytest.mark.parametrize(("height", "width"), [(64, 64), (100, 640), (777, 1001)])
@pytest.mark.parametrize("stride", [0, 16, 48, 64])
@pytest.mark.parametrize("resolution", ["window", "pixel"])
def test_windows_cover_the_scene_and_end_with_the_map(height, width, stride, resolution):
    plan = plan_windows((height, width), (64, 64), stride, resolution)
    for axis, length in ((plan.down, height), (plan.across, width)):
        starts = axis.starts
        assert starts[0] == 0
        assert starts[-1] + axis.tile == length
        assert all(0 < second - first <= axis.stride for first, second in itertools.pairwise(starts))
        assert axis.cells == -(-length // axis.cell)
        assert axis.first_cell(starts[-1]) + axis.cells_per_tile == axis.cells
        covered = {
            cell
            for start in starts
            for cell in range(axis.first_cell(start), axis.first_cell(start) + axis.cells_per_tile)
        }
        assert covered == set(range(axis.cells))


def test_the_map_has_a_pixel_per_stride_or_per_pixel():
    assert plan_windows((640, 640), (64, 64), 0, "window").down.cells == 10
    assert plan_windows((640, 640), (64, 64), 32, "window").down.cells == 20
    assert plan_windows((640, 640), (64, 64), 48, "window").down.cell == 16
    assert plan_windows((640, 640), (64, 64), 48, "pixel").down.cell == 1


@pytest.mark.parametrize("block_height", [1, 256, 512, 4096])
@pytest.mark.parametrize("stride", [0, 32])
def test_chunks_hold_every_window_once_and_are_bounded(block_height, stride):
    plan = plan_windows((2000, 40_000), (64, 64), stride, "window")
    seen = set()
    for rows in plan.bands_of_rows(block_height):
        for chunk in plan.chunks(rows, 26):
            height = plan.down.starts[chunk.rows[-1]] + 64 - plan.down.starts[chunk.rows[0]]
            width = plan.across.starts[chunk.columns[-1]] + 64 - plan.across.starts[chunk.columns[0]]
            assert height * width * 26 <= CHUNK_BYTES
            assert height <= max(64, min(block_height, 512))
            windows = set(itertools.product(chunk.rows, chunk.columns))
            assert not seen & windows
            seen |= windows
    assert len(seen) == plan.count
