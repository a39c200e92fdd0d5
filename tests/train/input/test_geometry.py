import numpy as np
import pytest

from tests.support.augmenting import changed, tiles_of, ways, which


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("bands", [1, 13])
def test_each_tile_is_laid_down_another_way_and_no_pixel_changes(dtype, bands):
    tiles = tiles_of(400, (5, 5, bands), dtype)
    result = changed(tiles, ("flip", "quarter_turn"))
    assert result.dtype == dtype
    found = [which(tile, new, ways) for tile, new in zip(tiles, result, strict=True)]
    counts = np.bincount(found, minlength=8)
    assert counts.min() > 25, counts  # of 400, when each of eight is as likely
    assert counts.max() < 75, counts


def test_flips_keep_the_shape_of_any_tile():
    tiles = tiles_of(shape=(3, 6, 1))
    result = changed(tiles, ("flip",))
    found = {which(tile, new, lambda t: ways(t, (0, 2))) for tile, new in zip(tiles, result, strict=True)}
    assert found == {0, 1, 2, 3}


def test_quarter_turns_alone_never_mirror():
    tiles = tiles_of()
    result = changed(tiles, ("quarter_turn",))
    found = {which(tile, new, lambda t: ways(t)[:4]) for tile, new in zip(tiles, result, strict=True)}
    assert found == {0, 1, 2, 3}


def shifted(tile, down, right):
    """Move a tile, with a reflected margin, by NumPy's padding and a crop."""
    height, width = tile.shape[:2]
    padded = np.pad(tile, ((height - 1,) * 2, (width - 1,) * 2, (0, 0)), mode="reflect")
    return padded[height - 1 - down : 2 * height - 1 - down, width - 1 - right : 2 * width - 1 - right]


def test_a_shift_moves_the_content_by_whole_pixels_and_reflects_the_rest():
    tiles = tiles_of(300, (10, 20, 2))
    result = changed(tiles, ("shift",), shift_percent=20)
    moves = [(down, right) for down in range(-2, 3) for right in range(-4, 5)]
    found = {
        moves[which(tile, new, lambda t: (shifted(t, *move) for move in moves))]
        for tile, new in zip(tiles, result, strict=True)
    }
    assert result.dtype == tiles.dtype
    assert {down for down, _ in found} == set(range(-2, 3))
    assert {right for _, right in found} == set(range(-4, 5))
    assert len(found) > 40  # of 45: each direction is drawn separately


def test_turn_flip_and_shift_come_in_that_order():
    tiles = tiles_of(40, (6, 6, 1))
    single = {name: changed(tiles, (name,)) for name in ("quarter_turn", "flip", "shift")}
    turns = [which(t, new, lambda t: ways(t)[:4]) for t, new in zip(tiles, single["quarter_turn"], strict=True)]
    turned = np.stack([np.rot90(tile, k) for tile, k in zip(tiles, turns, strict=True)])
    then_flipped = changed(turned, ("flip",))
    assert np.array_equal(changed(then_flipped, ("shift",)), changed(tiles, ("flip", "quarter_turn", "shift")))


def disc_of(side, radius, shape=None):
    height, width = shape or (side, side)
    rows, columns = np.ogrid[:height, :width]
    far = np.hypot(rows - (height - 1) / 2, columns - (width - 1) / 2)
    return ((far <= radius) * 200).astype("uint8")[:, :, None]


@pytest.mark.parametrize("shape", [(65, 65), (65, 81)])
def test_a_zoom_scales_the_area_of_a_centerd_disc_by_its_square(shape):
    tiles = np.stack([disc_of(65, 16, shape)] * 100)
    areas = changed(tiles, ("zoom",), zoom_percent=30).sum((1, 2, 3)) / tiles[0].sum()
    factors = np.sqrt(areas)
    assert 0.69 < factors.min() < 0.74
    assert 1.26 < factors.max() < 1.31
    assert abs(factors.mean() - 1) < 0.1


def test_a_zoom_is_bilinear_and_keeps_center_and_straight_lines():
    row = np.arange(33, dtype="float32")
    tiles = np.stack([np.stack([np.add.outer(row, 3 * row)] * 2, -1)] * 30)
    result = changed(tiles, ("zoom",), zoom_percent=20)
    assert np.allclose(result[:, 16, 16], 16 + 3 * 16, atol=1e-4)
    slopes = np.diff(result[:, 8:25, 16, 0], axis=1)  # inside, a plane stays a plane
    assert np.allclose(slopes, slopes[:, :1], atol=1e-3)
    across = np.diff(result[:, 16, 8:25, 1], axis=1)
    assert np.allclose(across[:, 0], 3 * slopes[:, 0], atol=1e-3)  # the same factor both ways
    assert np.ptp(slopes[:, 0]) > 0.2


def test_what_a_zoom_lets_in_is_reflected():
    tiles = tiles_of(50, (9, 9, 1), "float32")
    result = changed(tiles, ("zoom",), zoom_percent=50)
    assert (result >= tiles.min()).all()
    assert (result <= tiles.max()).all()
    assert np.allclose(changed(np.full_like(tiles, 7), ("zoom",), zoom_percent=50), 7)
