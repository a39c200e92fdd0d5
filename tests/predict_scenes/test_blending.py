"""Averages of overlapping windows."""

import numpy as np
import pytest

from tilepipe.components.predict_scenes.blending import NODATA, Blender
from tilepipe.components.predict_scenes.windows import plan_windows


def blended(plan, probabilities, is_classified=None, valid=None):
    """Blend all rows; returns classes and confidences."""
    blender = Blender(plan, probabilities.shape[-1])
    rows, columns = probabilities.shape[:2]
    is_classified = np.ones((rows, columns), bool) if is_classified is None else is_classified
    valid = np.ones((plan.down.length, plan.across.length), bool) if valid is None else valid
    starts = plan.down.starts
    finished = [
        blender.add(row, probabilities[row], is_classified[row], valid[starts[row] : starts[row] + plan.down.tile])
        for row in range(rows)
    ]
    assert [part.first for part in finished] == np.cumsum([0, *(len(part.classes) for part in finished)])[:-1].tolist()
    return np.concatenate([part.classes for part in finished]), np.concatenate([part.confidence for part in finished])


def expected(plan, probabilities):
    """Average all windows at once, in float64."""
    shape = plan.down.cells, plan.across.cells
    sums, total = np.zeros((*shape, probabilities.shape[-1])), np.zeros(shape)
    tall, wide = plan.down.cells_per_tile, plan.across.cells_per_tile
    taper = [np.maximum(np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2, 1e-3) for n in (tall, wide)]
    weights = np.outer(*taper)
    for row, top in enumerate(plan.down.starts):
        for column, left in enumerate(plan.across.starts):
            y, x = plan.down.first_cell(top), plan.across.first_cell(left)
            sums[y : y + tall, x : x + wide] += weights[..., None] * probabilities[row, column]
            total[y : y + tall, x : x + wide] += weights
    return sums / total[..., None]


@pytest.mark.parametrize("resolution", ["window", "pixel"])
@pytest.mark.parametrize("stride", [0, 3, 4, 6, 8])
def test_rows_give_what_all_windows_at_once_give(stride, resolution):
    plan = plan_windows((45, 38), (8, 8), stride, resolution)
    shape = len(plan.down.starts), len(plan.across.starts)
    probabilities = np.random.default_rng(0).dirichlet(np.ones(4), shape).astype(np.float32)
    classes, confidence = blended(plan, probabilities)
    average = expected(plan, probabilities)
    assert classes.shape == (plan.down.cells, plan.across.cells)
    clear = np.diff(np.sort(average, -1)[..., -2:])[..., 0] > 1e-5
    np.testing.assert_array_equal(classes[clear], average.argmax(-1)[clear])
    np.testing.assert_allclose(confidence, 100 * average.max(-1), atol=0.51)


def test_windows_and_pixels_without_data_have_no_class():
    plan = plan_windows((16, 24), (8, 8), 0, "pixel")
    probabilities = np.zeros((2, 3, 2), np.float32)
    probabilities[..., 1] = 1
    is_classified = np.array([[True, False, True], [True, True, True]])
    valid = np.ones((16, 24), bool)
    valid[8:12, :4] = False
    classes, confidence = blended(plan, probabilities, is_classified, valid)
    assert (classes[:8, 8:16] == NODATA).all()
    assert (classes[8:12, :4] == NODATA).all()
    assert (classes == 1).sum() == 16 * 24 - 64 - 16
    np.testing.assert_array_equal(confidence == NODATA, classes == NODATA)
    assert set(np.unique(confidence)) == {100, NODATA}


@pytest.mark.parametrize("stride", [0, 4, 6])
def test_a_pixel_of_the_map_has_a_class_if_one_of_its_own_pixels_is_valid(stride):
    plan = plan_windows((43, 38), (8, 8), stride, "window")  # the last windows start within a pixel of the map
    shape = len(plan.down.starts), len(plan.across.starts)
    probabilities = np.full((*shape, 2), 0.5, np.float32)
    valid = np.random.default_rng(0).random((43, 38)) < 0.05
    valid[-6:] = False
    classes, _ = blended(plan, probabilities, valid=valid)
    down, across = plan.down, plan.across
    cells = np.zeros((down.cells * down.cell, across.cells * across.cell), bool)
    cells[:43, :38] = valid
    cells = cells.reshape(down.cells, down.cell, across.cells, across.cell).any(axis=(1, 3))
    np.testing.assert_array_equal(classes != NODATA, cells)
