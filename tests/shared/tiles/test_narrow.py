import numpy as np
import pytest

from tests.pack.conftest import random_pixels, write_geotiff
from tilepipe.components.shared.errors import TileError
from tilepipe.components.shared.tiles.decode import decode
from tilepipe.components.shared.tiles.narrow import narrowed
from tilepipe.components.shared.tiles.picture import Picture


@pytest.mark.parametrize("dtype", ["float64", "uint32", "int32"])
@pytest.mark.parametrize("profile", [{}, {"compress": "deflate"}, {"ENDIANNESS": "BIG"}], ids=str)
def test_wide_dtypes_become_float32(tmp_path, dtype, profile):
    pixels = random_pixels(dtype=dtype)
    picture = decode(write_geotiff(tmp_path / "x.tif", pixels, nodata=7, **profile).read_bytes())
    assert (picture.pixels.dtype, picture.nodata) == (np.dtype("<f4"), 7)
    np.testing.assert_array_equal(picture.pixels, pixels)


def test_int8_becomes_int16():
    picture = narrowed(Picture(np.array([[[-128, 127]]], "int8")))
    assert (picture.pixels.dtype, picture.pixels.tolist()) == (np.dtype("int16"), [[[-128, 127]]])


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.full((2, 2, 1), 2**24 + 1, "int32"), "int32, and float32 cannot represent 4 of them, such as 16777217"),
        (np.full((2, 2, 1), 1e300), "float64, and float32 cannot represent 4 of them"),
    ],
)
def test_numbers_that_float32_cannot_represent(pixels, reason):
    with pytest.raises(TileError, match=reason):
        narrowed(Picture(pixels))


@pytest.mark.parametrize("nodata", [-1.7976931348623157e308, 0.1, 2.0**31])
def test_nodata_of_float64(nodata):
    pixels = np.array([[[1.5], [nodata]]])
    picture = narrowed(Picture(pixels, nodata=nodata))
    if picture.nodata is None:
        assert picture.valid.ravel().tolist() == [True, False]
    else:
        assert (picture.pixels == np.float32(picture.nodata)).ravel().tolist() == [False, True]


def test_nan_stays_nan():
    picture = narrowed(Picture(np.array([[[1.0], [np.nan]]]), nodata=np.nan))
    assert np.isnan(picture.nodata)
    assert np.isnan(picture.pixels[0, 1, 0])
