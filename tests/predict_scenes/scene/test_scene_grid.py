"""Pixels of scenes: masks, resampling, conversion and damage."""

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio.control import GroundControlPoint

from tests.support.scenes import CRS, TRANSFORM, cells, read_scene, write_item, write_scene
from tilepipe.components.predict_scenes.scene.affine_maps import rescale
from tilepipe.components.predict_scenes.scene.scene_grid import Conversion
from tilepipe.components.shared.errors import SourceError, StorageError

BANDS = ("B01", "B02")
DEGREES = rasterio.Affine(1e-4, 0.0, 3.0, 0.0, -1e-4, 42.0)


def test_rectangles_have_the_models_bands_and_dtype(tmp_path):
    numbers = np.arange(2 * 64, dtype=np.uint16).reshape(2, 8, 8) + 1
    pixels, valid, grid = read_scene(write_scene(tmp_path / "s.tif", numbers), bands=("B02", "B01"))
    np.testing.assert_array_equal(pixels, numbers[::-1].transpose(1, 2, 0))
    assert valid.all()
    assert (grid.height, grid.width, grid.crs) == (8, 8, CRS)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_ground_control_points_need_a_warp(tmp_path):
    path = write_scene(tmp_path / "s.tif", np.full((2, 8, 8), 120, np.uint16), crs=None, transform=None)
    places = [(0, 0, 3.0, 45.0), (0, 8, 3.1, 45.0), (8, 0, 3.0, 44.9), (8, 8, 3.1, 44.9)]
    with rasterio.open(path, "r+") as file:
        file.gcps = [GroundControlPoint(*place) for place in places], CRS
    with pytest.raises(SourceError, match=r"only ground control points\. Georeference it, such as with gdalwarp\.$"):
        read_scene(path)


def test_nodata_does_not_blend_into_its_neighbors(tmp_path):
    coarse = np.full((1, 8, 8), 1000, np.uint16)
    coarse[0, :4] = 0
    write_scene(tmp_path / "B01.tif", coarse, bands=(None,), transform=rescale(TRANSFORM, 2, 2))
    write_scene(tmp_path / "B02.tif", np.full((1, 16, 16), 500, np.uint16), bands=(None,))
    assets = {band: {"href": f"{band}.tif", "type": "image/tiff"} for band in BANDS}
    pixels, valid, _ = read_scene(write_item(tmp_path / "item.json", assets))
    assert set(np.unique(pixels[:, :, 0])) == {7, 1000}
    assert (pixels[:8, :, 0] == 7).all()
    assert valid.all()  # B02 is


@pytest.mark.parametrize("resampling", ["bilinear", "cubic", "nearest"])
@pytest.mark.parametrize(("dtype", "nodata"), [("int16", -9999), ("float32", -9999), ("float32", np.nan)])
@pytest.mark.parametrize("metres", [5, 30])
def test_a_band_of_a_stack_is_resampled_as_if_it_were_alone(tmp_path, resampling, dtype, nodata, metres):
    numbers = np.random.default_rng(0).integers(1000, 2000, (2, 24, 24)).astype(dtype)
    numbers[1, :, 7:12] = nodata
    numbers[:, 15:, 15:] = nodata
    stack = write_scene(tmp_path / "stack.tif", numbers, nodata=nodata)
    for band, layer in zip(BANDS, numbers, strict=True):
        write_scene(tmp_path / f"{band}.tif", layer[None], bands=(None,), nodata=nodata)
    assets = {band: {"href": f"{band}.tif", "type": "image/tiff"} for band in BANDS}
    alone, valid_alone, _ = read_scene(
        write_item(tmp_path / "item.json", assets), dtype=dtype, pixel_metres=metres, resampling=resampling
    )
    pixels, valid, _ = read_scene(stack, dtype=dtype, pixel_metres=metres, resampling=resampling)
    np.testing.assert_array_equal(pixels, alone)
    np.testing.assert_array_equal(valid, valid_alone)
    assert 500 < pixels[pixels != 7].min() < pixels.max() < 2500


def test_numbers_are_converted_rounded_and_clipped(tmp_path):
    numbers = np.array([[0.1, 0.25, np.nan, 7.0]], np.float32).repeat(4, axis=0)
    scene = write_scene(tmp_path / "s.tif", np.stack([numbers.repeat(2, axis=1)] * 2), nodata=None)
    pixels, valid, _ = read_scene(scene, conversion=Conversion(10_000, -1000))
    assert pixels[0, ::2, 0].tolist() == [0, 1500, 7, 65_535]
    assert valid[0, ::2].tolist() == [True, True, False, True]
    kept, _, _ = read_scene(scene, dtype="float32")
    assert kept[0, 0, 0] == np.float32(0.1)


def test_negative_numbers_of_int16_are_clipped(tmp_path):
    numbers = np.array([[-300, 300] * 4] * 4, np.int16)
    pixels, valid, _ = read_scene(write_scene(tmp_path / "s.tif", numbers, nodata=-9999))
    assert pixels[0, :2, 0].tolist() == [0, 300]
    assert valid.all()


def test_bands_that_are_filled_have_the_mean_of_the_training_tiles(tmp_path):
    scene = write_scene(tmp_path / "s.tif", cells([[1]])[None], bands=("B02",))
    pixels, _, grid = read_scene(scene, fill_bands=["B01"])
    assert (pixels[:, :, 0] == 50).all()
    assert grid.filled == (0,)


def test_a_pixel_size_in_metres_needs_a_projection(tmp_path):
    scene = write_scene(tmp_path / "s.tif", cells([[1]]), crs="EPSG:4326", transform=DEGREES)
    with pytest.raises(SourceError, match=r"`pixel_metres` needs a scene in a projected.*in EPSG:4326"):
        read_scene(scene, pixel_metres=10)


@pytest.mark.parametrize("kind", ["complex64", "complex_int16"])
def test_complex_numbers_are_no_pixels_of_tiles(tmp_path, kind):
    with rasterio.open(tmp_path / "s.tif", "w", "GTiff", 8, 8, 2, crs=CRS, transform=TRANSFORM, dtype=kind) as file:
        file.write(np.full((2, 8, 8), 3 + 4j, np.complex64))
        file.descriptions = BANDS
    with pytest.raises(SourceError, match=rf"numbers of a scene must be real.*s\.tif with {kind}\. Convert it"):
        read_scene(tmp_path / "s.tif")


def test_a_truncated_file_is_named(tmp_path):
    noise = np.random.default_rng(0).integers(1, 9000, (2, 64, 64)).astype(np.uint16)
    scene = tmp_path / "s.tif"
    rasterio.shutil.copy(write_scene(tmp_path / "whole.tif", noise), scene, driver="COG")
    scene.write_bytes(scene.read_bytes()[:-6000])
    with pytest.raises(
        StorageError, match=r"The pixels of a scene must be readable\. Received: .*s\.tif, rows 0 to 63"
    ):
        read_scene(scene)
