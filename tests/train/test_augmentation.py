import numpy as np
import pytest
import tensorflow as tf

from tests.packed import manifest_for
from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.train.augmentation import augment, check_augmentation

BOTH = ("flip", "quarter_turn")


def tiles_of(count=64, shape=(5, 5, 2), dtype="uint16"):
    return np.random.default_rng(0).integers(0, 250, (count, *shape)).astype(dtype)


def changed(tiles, names=BOTH, seed=(1, 2)):
    return augment(tf.constant(tiles), tf.constant(seed, tf.int64), names).numpy()


def ways(tile, turns=(0, 1, 2, 3)):
    """All that a tile may become: turned, and turned and flipped."""
    turned = [np.rot90(tile, k) for k in turns]
    return [*turned, *(np.flip(t, 1) for t in turned)]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_each_tile_is_laid_down_another_way_and_no_pixel_changes(dtype):
    tiles = tiles_of(dtype=dtype)
    result = changed(tiles)
    assert result.dtype == dtype
    found = [
        next(number for number, way in enumerate(ways(tile)) if np.array_equal(way, new))
        for tile, new in zip(tiles, result, strict=True)
    ]
    assert set(found) == set(range(8))
    assert max(np.bincount(found)) < 20  # of 64, when each of eight is as likely


def test_flips_keep_the_shape_of_any_tile():
    tiles = tiles_of(shape=(3, 6, 1))
    result = changed(tiles, ("flip",))
    found = {
        next(number for number, way in enumerate(ways(tile, (0, 2))) if np.array_equal(way, new))
        for tile, new in zip(tiles, result, strict=True)
    }
    assert found == {0, 1, 2, 3}


def test_quarter_turns_alone_never_mirror():
    tiles = tiles_of()
    result = changed(tiles, ("quarter_turn",))
    found = {
        next(k for k in range(4) if np.array_equal(np.rot90(tile, k), new))
        for tile, new in zip(tiles, result, strict=True)
    }
    assert found == {0, 1, 2, 3}


def test_a_seed_decides():
    tiles = tiles_of()
    assert np.array_equal(changed(tiles), changed(tiles))
    assert not np.array_equal(changed(tiles), changed(tiles, seed=(1, 3)))


def test_none_is_none():
    tiles = tiles_of()
    assert np.array_equal(changed(tiles, ()), tiles)


def test_quarter_turns_need_square_tiles():
    manifest = manifest_for((8, 9, 2))
    check_augmentation(("flip",), manifest)
    with pytest.raises(ParameterError, match=r"not square.*tiles of 8 x 9 pixels\. Use augmentation=\['flip'\]"):
        check_augmentation(BOTH, manifest)
