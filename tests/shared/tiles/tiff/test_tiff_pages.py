import io

import numpy as np
import pytest
import rasterio
import tifffile

from tilepipe.components.shared.errors import TileError
from tilepipe.components.shared.tiles.decode import decode


def write(path, pixels, mask=None, colormap=None, **profile):
    bands, height, width = pixels.shape
    profile = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000), **profile}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            path, "w", driver="GTiff", width=width, height=height, count=bands, dtype=pixels.dtype, **profile
        ) as out,
    ):
        out.write(pixels)
        if mask is not None:
            out.write_mask(mask)
        if colormap is not None:
            out.write_colormap(1, colormap)
    return path.read_bytes()


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(1, 200, (3, 32, 32)).astype("uint8")


@pytest.mark.parametrize("profile", [{}, {"compress": "deflate"}, {"interleave": "pixel"}])
def test_masked_pixels_are_not_valid(tmp_path, pixels, profile):
    mask = np.ones((32, 32), bool)
    mask[:8] = False
    picture = decode(write(tmp_path / "a.tif", pixels, mask, nodata=0, **profile))
    assert picture.nodata == 0
    assert np.array_equal(picture.valid[..., 0], mask)
    assert np.array_equal(picture.pixels[8:], np.moveaxis(pixels, 0, -1)[8:])


def test_a_mask_needs_no_nodata_number(tmp_path, pixels):
    mask = np.ones((32, 32), bool)
    mask[0, :5] = False
    picture = decode(write(tmp_path / "a.tif", pixels, mask))
    assert picture.nodata is None
    assert np.array_equal(picture.valid[..., 0], mask)


def test_a_mask_of_valid_pixels_changes_nothing(tmp_path, pixels):
    picture = decode(write(tmp_path / "a.tif", pixels, np.ones((32, 32), bool)))
    assert picture.valid is None
    assert np.array_equal(picture.pixels, np.moveaxis(pixels, 0, -1))


def test_overviews_are_no_pages(tmp_path, pixels):
    write(tmp_path / "a.tif", pixels)
    with rasterio.open(tmp_path / "a.tif", "r+") as out:
        out.build_overviews([2, 4])
    assert np.array_equal(decode((tmp_path / "a.tif").read_bytes()).pixels, np.moveaxis(pixels, 0, -1))


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_pages_of_one_shape_are_refused(pixels, compression):
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as out:
        for band in pixels:
            out.write(band, compression=compression, contiguous=False, metadata=None)
    with pytest.raises(TileError, match="TIFF of 3 pages, of which only the first would be read"):
        decode(file.getvalue())


def test_a_palette_gives_its_colors(tmp_path):
    indexes = np.random.default_rng(0).integers(0, 3, (1, 16, 16)).astype("uint8")
    colors = np.array([[255, 0, 0], [0, 128, 7], [9, 8, 250]], "uint8")
    colormap = {index: (*map(int, color), 255) for index, color in enumerate(colors)}
    picture = decode(write(tmp_path / "a.tif", indexes, colormap=colormap, photometric="palette"))
    assert picture.pixels.dtype == np.uint8
    assert np.array_equal(picture.pixels, colors[indexes[0]])


@pytest.mark.parametrize("compress", ["LERC", "LERC_DEFLATE", "LERC_ZSTD"])
def test_missing_pixels_in_lerc_are_refused(tmp_path, compress):
    reflectance = np.random.default_rng(0).random((2, 32, 32), "float32")
    options = {"compress": compress, "max_z_error": 0}
    whole = decode(write(tmp_path / "whole.tif", reflectance, **options))
    assert np.array_equal(whole.pixels, np.moveaxis(reflectance, 0, -1))
    reflectance[0, :4] = np.nan
    with pytest.raises(TileError, match=r"LERC and has missing pixels.*COMPRESS=DEFLATE"):
        decode(write(tmp_path / "a.tif", reflectance, **options))
