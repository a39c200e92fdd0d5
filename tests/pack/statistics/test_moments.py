import functools
import json
import math
from fractions import Fraction

import numpy as np
import pytest

from tilepipe.components.pack.statistics import tile_moments as module
from tilepipe.components.pack.statistics.moments import Moments
from tilepipe.components.pack.statistics.tile_moments import TileMoments


def moments(*tiles, valid=None):
    added = TileMoments()
    for place, tile in enumerate(tiles):
        added.add(tile, None if valid is None else valid[place])
    return added.moments()


def merge(parts):
    return functools.reduce(lambda first, second: first.merged(second), parts)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_tile_by_tile_is_as_all_at_once(dtype):
    tiles = np.random.default_rng(0).integers(0, 250, (40, 6, 5, 3)).astype(dtype)
    merged = merge(map(moments, tiles))
    pixels = tiles.reshape(-1, 3).astype(np.float64)
    assert merged.to_json()["counts"] == [len(pixels)] * 3
    np.testing.assert_allclose(merged.mean, pixels.mean(0), rtol=1e-13)
    np.testing.assert_allclose(merged.std, pixels.std(0), rtol=1e-13)
    np.testing.assert_array_equal(merged.minimum, pixels.min(0))
    np.testing.assert_array_equal(merged.maximum, pixels.max(0))


@pytest.mark.parametrize(("dtype", "low", "high"), [("uint8", 0, 256), ("uint16", 0, 65536), ("int16", -32768, 32768)])
def test_whole_numbers_are_exact_in_any_order(dtype, low, high):
    tiles = np.random.default_rng(1).integers(low, high, (30, 7, 9, 2)).astype(dtype)
    tiles[0] = high - 1
    parts = [moments(tile) for tile in tiles]
    merged = merge(parts)
    assert merged == merge(parts[::-1]) == merge([merge(parts[:11]), merge(parts[11:])])
    for band in range(2):
        pixels = [int(value) for value in tiles[..., band].ravel()]
        mean = Fraction(sum(pixels), len(pixels))
        variance = Fraction(sum(value * value for value in pixels), len(pixels)) - mean * mean
        assert merged.mean[band] == float(mean)
        assert merged.std[band] == math.sqrt(float(variance))


def test_sums_that_float64_or_64_bits_do_not_hold(monkeypatch):
    tile = np.full((3, 4, 1), 65535, np.uint16)
    tile[0, 0] = 65534
    merged = moments(tile)
    for _ in range(60):  # the same pixels, 2**60 times over
        merged = merged.merged(merged)
    assert merged.to_json()["counts"] == [12 << 60]
    assert merged.std[0] == pytest.approx(math.sqrt(11) / 12, rel=1e-15)


@pytest.mark.parametrize(("dtype", "low", "high"), [("uint8", 0, 256), ("uint16", 0, 8000), ("int16", -32768, 32768)])
def test_tiles_added_up_are_as_tiles_merged(dtype, low, high, monkeypatch):
    rng = np.random.default_rng(6)
    tiles, valid = rng.integers(low, high, (30, 7, 9, 2)).astype(dtype), rng.random((30, 7, 9, 2)) < 0.6
    tiles[11] = high - 1  # among small numbers one tile of large ones, whose squares need more bits
    merged = merge(moments(tile, valid=[mask]) for tile, mask in zip(tiles, valid, strict=True))
    assert moments(*tiles) == merge(map(moments, tiles))
    assert moments(*tiles, valid=valid) == merged
    monkeypatch.setattr(module, "_MOST_ROWS", 20)
    assert moments(*tiles, valid=valid) == merged


def test_no_tiles_have_no_moments():
    with pytest.raises(ValueError, match="of one tile or more"):
        moments()


def test_large_tiles_are_summed_in_blocks(monkeypatch):
    image = np.random.default_rng(2).integers(0, 65536, (50, 4, 3)).astype(np.uint16)
    valid = np.random.default_rng(3).random(image.shape) < 0.5
    whole = moments(image), moments(image, valid=[valid])
    monkeypatch.setattr(module, "_BLOCK_VALUES", 30)
    assert (moments(image), moments(image, valid=[valid])) == whole


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_what_is_not_valid_does_not_count(dtype):
    rng = np.random.default_rng(4)
    tiles, valid = rng.integers(1, 99, (20, 5, 6, 3)).astype(dtype), rng.random((20, 5, 6, 3)) < 0.7
    tiles[~valid] = 120
    valid[:3, ..., 1] = False  # tiles with an empty band, the first one included
    merged = merge(moments(tile, valid=[mask]) for tile, mask in zip(tiles, valid, strict=True))
    for band in range(3):
        pixels = tiles[..., band][valid[..., band]].astype(np.float64)
        assert merged.to_json()["counts"][band] == len(pixels)
        assert merged.mean[band] == pytest.approx(pixels.mean(), rel=1e-13)
        assert merged.std[band] == pytest.approx(pixels.std(), rel=1e-13)
        assert (merged.minimum[band], merged.maximum[band]) == (pixels.min(), pixels.max())


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_a_band_without_any_valid_pixel_is_zero(dtype):
    empty = moments(np.full((4, 4, 2), 7, dtype), valid=[np.zeros((4, 4, 2), bool)])
    merged = empty.merged(empty)
    for numbers in (merged.mean, merged.std, merged.minimum, merged.maximum, merged.to_json()["counts"]):
        assert list(numbers) == [0, 0]
    assert Moments.from_json(json.loads(json.dumps(merged.to_json(), allow_nan=False))).to_json() == merged.to_json()


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_json_loses_nothing(dtype):
    tiles = (np.random.default_rng(5).random((4, 8, 8, 3)) * 60000).astype(dtype)
    parts = [moments(tile) for tile in tiles]
    again = [Moments.from_json(json.loads(json.dumps(part.to_json()))) for part in parts]
    assert merge(again).to_json() == merge(parts).to_json()
    assert merge(again).mean.tolist() == merge(parts).mean.tolist()


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"kind": "other"},
        [],
        {**moments(np.ones((2, 2, 1), np.uint8)).to_json(), "first": [1.5]},
        {**moments(np.ones((2, 2, 1), np.uint8)).to_json(), "first": [1, 2]},
        {**moments(np.ones((2, 2, 1), np.float32)).to_json(), "second": ["x"]},
    ],
)
def test_what_to_json_did_not_write(value):
    with pytest.raises(ValueError, match="Moments must be as `to_json` writes them"):
        Moments.from_json(value)


def test_kinds_do_not_mix():
    whole, floats = moments(np.ones((2, 2, 1), np.uint8)), moments(np.ones((2, 2, 1), np.float32))
    with pytest.raises(ValueError, match="must be of one kind"):
        whole.merged(floats)
    with pytest.raises(ValueError, match="must be of one kind"):
        floats.merged(whole)


def test_a_small_spread_on_large_numbers_is_not_lost():
    """Sums of squares in float64 would give a negative variance here."""
    tiles = 1e8 + np.random.default_rng(0).normal(0, 0.01, (100, 8, 8, 1))
    assert merge(map(moments, tiles)).std[0] == pytest.approx(0.01, rel=0.03)


def test_constant_pixels():
    assert moments(np.full((4, 4, 2), 65535, np.uint16)).std.tolist() == [0, 0]
