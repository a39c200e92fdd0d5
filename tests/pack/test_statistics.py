import numpy as np
import pytest

from tilepipe.components.pack.statistics import moments


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_tile_by_tile_is_as_all_at_once(dtype):
    tiles = np.random.default_rng(0).integers(0, 250, (40, 6, 5, 3)).astype(dtype)
    merged = moments(tiles[0])
    for tile in tiles[1:]:
        merged = merged.merged(moments(tile))
    pixels = tiles.reshape(-1, 3).astype(np.float64)
    assert merged.count == len(pixels)
    np.testing.assert_allclose(merged.mean, pixels.mean(0), rtol=1e-13)
    np.testing.assert_allclose(merged.std, pixels.std(0), rtol=1e-13)
    np.testing.assert_array_equal(merged.minimum, pixels.min(0))
    np.testing.assert_array_equal(merged.maximum, pixels.max(0))


def test_a_small_spread_on_large_numbers_is_not_lost():
    """Where sums of squares in float64 would give a negative variance."""
    tiles = 1e8 + np.random.default_rng(0).normal(0, 0.01, (100, 8, 8, 1))
    merged = moments(tiles[0])
    for tile in tiles[1:]:
        merged = merged.merged(moments(tile))
    assert merged.std[0] == pytest.approx(0.01, rel=0.03)


def test_constant_pixels():
    assert moments(np.full((4, 4, 2), 65535, np.uint16)).std.tolist() == [0, 0]
