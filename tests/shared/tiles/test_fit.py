import numpy as np
import pytest

from tests.pack.conftest import random_pixels, write_picture
from tilepipe.components.shared.contracts.manifest import SPLITS
from tilepipe.components.shared.errors import ParameterError, TileError
from tilepipe.components.shared.tiles.fit import fit_into
from tilepipe.components.shared.tiles.resample import resample

WIDE = np.arange(1, 33, dtype="uint8").reshape(4, 8, 1)


def test_pad_keeps_the_ratio_and_leaves_the_padding_out():
    image, valid = fit_into(WIDE, (8, 8), "nearest", None, "pad")
    np.testing.assert_array_equal(image[2:6], WIDE)
    np.testing.assert_array_equal(valid[..., 0].all(axis=1), [False, False, True, True, True, True, False, False])
    assert not image[:2].any()
    assert not image[6:].any()


def test_pad_keeps_the_mask():
    mask = WIDE > 5
    _, valid = fit_into(WIDE, (8, 8), "nearest", mask, "pad")
    np.testing.assert_array_equal(valid[2:6], mask)


def test_crop_takes_the_center():
    image, valid = fit_into(WIDE, (4, 4), "nearest", None, "crop")
    np.testing.assert_array_equal(image, WIDE[:, 2:6])
    assert valid is None
    smaller, mask = fit_into(WIDE, (2, 2), "bilinear", WIDE > 0, "crop")
    np.testing.assert_array_equal(smaller, resample(WIDE[:, 2:6], (2, 2), "bilinear")[0])
    assert mask.all()


@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
@pytest.mark.parametrize("shape", [(1, 50, 2), (50, 1, 2), (7, 5, 2), (8, 8, 2), (16, 16, 2)])
def test_any_shape_gets_the_size(shape, fit):
    pixels = random_pixels(shape=shape)
    image, valid = fit_into(pixels, (8, 8), "bilinear", None, fit)
    assert image.shape == (8, 8, 2)
    assert valid is None or (valid.shape == image.shape and valid.any())
    if shape[0] == shape[1] or fit == "stretch":
        np.testing.assert_array_equal(image, resample(pixels, (8, 8), "bilinear")[0])


@pytest.fixture
def tiles(table):
    for number in range(9):
        shape = (8, 4, 1) if number == 8 else (8, 8, 1)
        path = write_picture(table.folder / f"{number}.png", random_pixels(number, shape, "uint8", 250))
        table.add(f"t{number}", path, split=SPLITS[number % 3])
    return table.write()


def test_the_error_names_the_option(tiles, run):
    with pytest.raises(TileError, match=r"pack_options='{\"tile_size\": \[8, 8\]}'"):
        run(tiles)


def test_padding_is_nodata(tiles, run):
    manifest = run(tiles, options={"tile_size": [8, 8], "fit": "pad"})
    assert (manifest.nodata, manifest.statistics[0].minimum > 0) == (0, True)
    assert run(tiles, out="crop", options={"tile_size": [8, 8], "fit": "crop"}).nodata is None


def test_a_fit_needs_a_size(tiles, run):
    with pytest.raises(ParameterError, match=r"Received: fit='pad' without tile_size"):
        run(tiles, options={"fit": "pad"})
