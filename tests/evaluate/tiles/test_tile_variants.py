import numpy as np
import pytest

from tilepipe.components.evaluate.tiles.tile_variants import variants


def tiles(height=4, width=4):
    return np.arange(2 * height * width * 3, dtype=np.uint16).reshape(2, height, width, 3)


@pytest.mark.parametrize(
    ("variations", "count"), [((), 0), (("flip",), 3), (("quarter_turn",), 3), (("flip", "quarter_turn"), 7)]
)
def test_variants_differ_and_keep_the_pixels(variations, count):
    original = tiles()
    found = list(variants(original, variations))
    assert len(found) == count
    assert len({image.tobytes() for image in [original, *found]}) == count + 1
    for image in found:
        assert (image.shape, image.dtype) == (original.shape, original.dtype)
        np.testing.assert_array_equal(np.sort(image, axis=None), np.sort(original, axis=None))


def test_variants_of_a_variant_are_the_same_set():
    every = {image.tobytes() for image in [tiles(), *variants(tiles(), ("flip", "quarter_turn"))]}
    turned = next(variants(tiles(), ("quarter_turn",)))
    assert {image.tobytes() for image in [turned, *variants(turned, ("flip", "quarter_turn"))]} == every


@pytest.mark.parametrize(("variations", "count"), [(("quarter_turn",), 1), (("flip", "quarter_turn"), 3)])
def test_tiles_that_are_not_square_keep_their_shape(variations, count):
    found = list(variants(tiles(4, 6), variations))
    assert [image.shape for image in found] == [(2, 4, 6, 3)] * count
