"""Masks of scenes: within the file, beside it, and alpha."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

from tests.support.scenes import read_scene, write_scene
from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.tiles.decode import decode
from tilepipe.components.shared.tiles.validity import ValidityRules, with_sidecar

BANDS = ("B01", "B02")


def write_mask(path, mask, *, within):
    """Write the mask of a GeoTIFF as GDAL does, 255 for valid pixels."""
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=within), rasterio.open(path, "r+") as file:
        file.write_mask(mask)
    assert path.with_name(f"{path.name}.msk").exists() is not within


@pytest.mark.parametrize("kind", ["internal", "alpha", "beside"])
@pytest.mark.parametrize("is_resampled", [False, True])
def test_masks_and_alpha_count_as_nodata(tmp_path, kind, is_resampled):
    mask = np.full((16, 16), 255, np.uint8)
    mask[:8] = 0
    path, numbers = tmp_path / "s.tif", np.full((3, 16, 16), 120, np.uint16)
    if kind != "alpha":
        write_scene(path, numbers[:2], nodata=None)
        write_mask(path, mask, within=kind == "internal")
    else:
        numbers[2] = mask
        write_scene(path, numbers, nodata=None, bands=("B01", "B02", None))
        with rasterio.open(path, "r+") as file:
            file.colorinterp = [ColorInterp.gray, ColorInterp.undefined, ColorInterp.alpha]
    options = {"pixel_metres": 20, "resampling": "nearest"} if is_resampled else {}
    pixels, valid, grid = read_scene(path, **options)
    half = grid.height // 2
    assert grid.height == (8 if is_resampled else 16)
    assert not valid[:half].any()
    assert valid[half:].all()
    assert (pixels[:half] == 7).all()
    assert (pixels[half:] == 120).all()


@pytest.mark.parametrize("kind", ["internal", "alpha", "beside"])
@pytest.mark.parametrize("is_resampled", [False, True])
@pytest.mark.parametrize("stated_by", ["file", "options"])
def test_masks_and_alpha_count_beside_a_nodata_value(tmp_path, kind, is_resampled, stated_by):
    mask = np.full((16, 16), 255, np.uint8)
    mask[:8] = 0
    path, numbers = tmp_path / "s.tif", np.full((3, 16, 16), 120, np.uint16)
    numbers[:2, 12:] = 9
    numbers[2] = mask
    has_alpha = kind == "alpha"
    bands = ("B01", "B02", None) if has_alpha else BANDS
    write_scene(path, numbers[: len(bands)], nodata=9 if stated_by == "file" else None, bands=bands)
    if has_alpha:
        with rasterio.open(path, "r+") as file:
            file.colorinterp = [ColorInterp.gray, ColorInterp.undefined, ColorInterp.alpha]
    else:
        write_mask(path, mask, within=kind == "internal")
    options = {"pixel_metres": 20, "resampling": "nearest"} if is_resampled else {}
    pixels, valid, grid = read_scene(path, **options, **({} if stated_by == "file" else {"nodata": 9}))
    quarter = grid.height // 4
    expected = np.repeat([False, False, True, False], quarter)
    np.testing.assert_array_equal(valid, np.repeat(expected[:, None], grid.width, axis=1))
    np.testing.assert_array_equal(pixels, np.where(valid[..., None], 120, 7).repeat(2, axis=2))


@pytest.mark.parametrize("scene_bands", [(), ("red", "green", "blue", "nir")])
@pytest.mark.parametrize("is_resampled", [False, True])
def test_a_named_band_that_is_marked_as_alpha_is_a_band(tmp_path, scene_bands, is_resampled):
    names = ("red", "green", "blue", "nir")
    numbers = np.full((4, 8, 8), 120, np.uint8)
    numbers[3, :4] = 0  # water is black in near infrared
    path = write_scene(
        tmp_path / "naip.tif",
        numbers,
        bands=None if scene_bands else names,
        nodata=None,
        photometric="RGB",
        alpha="YES",
    )
    options = {"pixel_metres": 5, "resampling": "nearest"} if is_resampled else {}
    pixels, valid, grid = read_scene(path, dtype="uint8", bands=names, scene_bands=scene_bands, **options)
    assert valid.all()
    times = grid.height // 8
    np.testing.assert_array_equal(pixels, numbers.transpose(1, 2, 0).repeat(times, axis=0).repeat(times, axis=1))


def test_a_mask_within_and_one_beside_both_count(tmp_path):
    path = write_scene(tmp_path / "s.tif", np.full((2, 8, 8), 120, np.uint16), nodata=None)
    write_mask(path, np.repeat(np.uint8([0, 255]), [2, 6])[:, None].repeat(8, axis=1), within=False)
    beside = (tmp_path / "s.tif.msk").read_bytes()
    (tmp_path / "s.tif.msk").unlink()
    write_mask(path, np.repeat(np.uint8([0, 255]), [2, 6])[None].repeat(8, axis=0), within=True)
    (tmp_path / "s.tif.msk").write_bytes(beside)
    _, valid, _ = read_scene(path)
    expected = np.ones((8, 8), bool)
    expected[:2], expected[:, :2] = False, False
    np.testing.assert_array_equal(valid, expected)


@pytest.mark.parametrize("is_resampled", [False, True])
def test_a_mask_for_each_band_counts_as_in_tiles(tmp_path, is_resampled):
    flags = np.full((2, 8, 8), 255, np.uint8)
    flags[0, :4], flags[1, :, :4] = 0, 0
    path = write_scene(tmp_path / "s.tif", np.full((2, 8, 8), 120, np.uint16), nodata=None)
    mask = write_scene(tmp_path / "other.tif", flags, bands=(None, None), nodata=None)
    with rasterio.open(mask, "r+") as file:
        file.update_tags(INTERNAL_MASK_FLAGS_1=0, INTERNAL_MASK_FLAGS_2=0)
    mask.rename(tmp_path / "s.tif.msk")
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(file.read_masks(), flags)  # what GDAL takes it for
    tile = with_sidecar(decode(path.read_bytes()), str(path), ValidityRules(), lambda uri: Path(uri).read_bytes())
    options = {"pixel_metres": 5, "resampling": "nearest"} if is_resampled else {}
    pixels, valid, grid = read_scene(path, bands=("B02", "B01"), **options)
    times = grid.height // 8
    expected = tile.valid[..., ::-1].repeat(times, axis=0).repeat(times, axis=1)
    np.testing.assert_array_equal(pixels, np.where(expected, 120, 7))
    np.testing.assert_array_equal(valid, expected.any(axis=2))


def test_a_mask_of_another_size_is_refused(tmp_path):
    mask = write_scene(tmp_path / "other.tif", np.full((1, 4, 4), 255, np.uint8), bands=(None,), nodata=None)
    path = write_scene(tmp_path / "s.tif", np.full((2, 8, 8), 120, np.uint16))
    mask.rename(tmp_path / "s.tif.msk")
    with pytest.raises(
        SourceError, match=r"s\.tif\.msk with 1 bands of 4 x 4 pixels, for 2 bands of 8 x 8\. Correct or remove"
    ):
        read_scene(path)
