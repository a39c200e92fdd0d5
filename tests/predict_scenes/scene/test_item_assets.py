"""STAC items of scenes: bands by name, resolutions, places of assets."""

import json

import numpy as np
import pytest
import rasterio.shutil

from tests.support.scenes import CRS, TILE, TRANSFORM, cells, write_bundle, write_item, write_scene
from tilepipe.components.predict_scenes.config import PredictScenesConfig
from tilepipe.components.predict_scenes.scene.affine_maps import rescale
from tilepipe.components.predict_scenes.scene.gdal_access import gdal_environment
from tilepipe.components.predict_scenes.scene.item_assets import read_item
from tilepipe.components.predict_scenes.scene.scene_grid import Conversion, TileFormat, open_grid
from tilepipe.components.predict_scenes.scene.scene_source import open_scene
from tilepipe.components.shared.errors import BandError, SourceError

COG = "image/tiff; application=geotiff; profile=cloud-optimized"
GRID = [[0, 1], [2, 0]]


def asset(href, **more):
    return {"href": href, "type": COG, "roles": ["data"], **more}


@pytest.fixture
def folder(tmp_path):
    """Return a folder with B01 at 20 m and B02 at 10 m, one file each."""
    write_scene(tmp_path / "item" / "B01.tif", cells(GRID, tile=4), bands=(None,), transform=rescale(TRANSFORM, 2, 2))
    write_scene(tmp_path / "item" / "B02.tif", cells(GRID), bands=(None,))
    return tmp_path / "item"


NAMED = {
    "stac 1.1 bands": {
        "one": asset("./B01.tif", bands=[{"name": "B01"}]),
        "two": asset("./B02.tif", bands=[{"name": "B02"}]),
    },
    "eo:bands": {
        "one": asset("B01.tif", **{"eo:bands": [{"name": "B1", "common_name": "coastal"}]}),
        "two": asset("B02.tif", **{"eo:bands": [{"name": "B2"}]}),
    },
    "keys beside numbers of bands": {
        "B02": asset("B02.tif", **{"eo:bands": [{"name": "b1", "description": "gray"}]}),
        "B01": asset("B01.tif", **{"eo:bands": [{"name": "b1", "description": "gray"}]}),
    },
    "descriptions beside numbers of bands": {
        "two": asset("B02.tif", bands=[{"name": "b1", "description": "B02"}]),
        "one": asset("B01.tif", bands=[{"name": "b1", "description": "B01"}]),
    },
    "keys": {"B01": asset("B01.tif"), "B02_10m": asset("B02.tif")},
    "common names": {
        "coastal": asset("B01.tif", **{"eo:bands": [{"name": "coastal", "common_name": "coastal"}]}),
        "blue": asset("B02.tif", bands=[{"name": "blue", "eo:common_name": "blue"}]),
        "thumbnail": {"href": "https://elsewhere.example/t.png", "type": "image/png", "roles": ["thumbnail"]},
        "visual": asset("https://elsewhere.example/TCI.tif", roles=["visual"], bands=[{"name": "blue"}]),
    },
}


def test_a_picture_does_not_replace_the_bands_it_was_made_of(predict, folder):
    write_scene(folder / "TCI.tif", np.stack([cells(GRID) // 2] * 2).astype(np.uint8), bands=(None, None))
    picture = asset("TCI.tif", gsd=10, **{"eo:bands": [{"name": "B02"}, {"name": "B01"}]})  # as Planetary Computer's
    assets = {"visual": picture, "B01": asset("B01.tif", gsd=20), "B02": asset("B02.tif", gsd=10)}
    found = predict(write_item(folder / "item.json", assets), options={"resampling": "nearest"})
    assert found.classes.tolist() == GRID


@pytest.mark.parametrize("assets", NAMED.values(), ids=NAMED)
def test_bands_are_found_by_name_and_brought_to_the_finest_grid(predict, folder, assets):
    item = write_item(folder / "S2B_31TCJ_20210613.json", assets, platform="sentinel-2b")
    found = predict(item, options={"resampling": "nearest"})
    assert found.classes.tolist() == GRID
    assert found.item["properties"]["proj:code"] == CRS
    assert found.item["properties"]["gsd"] == 80.0
    assert found.item["properties"]["datetime"] == "2021-06-13T10:56:21Z"
    assert found.item["properties"]["platform"] == "sentinel-2b"
    assert found.item["links"][0]["href"] == str(item)
    assert found.item["links"][0]["type"] == "application/geo+json"


def test_resampling_and_pixel_size_can_be_chosen(predict, folder, tmp_path):
    item = write_item(folder / "item.json", NAMED["keys"])
    assert predict(item).classes.tolist() == GRID  # bilinear
    write_scene(tmp_path / "fine.tif", cells(GRID, tile=16), transform=rescale(TRANSFORM, 0.5, 0.5))
    coarse = predict(tmp_path / "fine.tif", options={"pixel_metres": 10, "resampling": "nearest"})
    assert coarse.classes.tolist() == GRID
    assert coarse.item["properties"]["gsd"] == 80.0
    assert predict(tmp_path / "fine.tif").classes.shape == (4, 4)


def test_of_two_resolutions_of_a_band_the_finest_is_taken(predict, folder):
    write_scene(
        folder / "coarse.tif", cells([[2, 2], [2, 2]], tile=4), bands=(None,), transform=rescale(TRANSFORM, 2, 2)
    )
    assets = {
        "B02_20m": asset("coarse.tif", gsd=20, bands=[{"name": "B02"}]),
        "B02_10m": asset("B02.tif", gsd=10, bands=[{"name": "B02"}]),
        "B01": asset("B02.tif"),
    }
    assert predict(write_item(folder / "item.json", assets)).classes.tolist() == GRID


def test_band_assets_override_names(predict, folder):
    assets = {"x": asset("B01.tif"), "y": asset("B02.tif")}
    item = write_item(folder / "item.json", assets)
    with pytest.raises(BandError, match=r"with the bands x, y \(stated by metadata\), in which B01, B02 are missing"):
        predict(item)
    assert predict(item, options={"band_assets": {"B1": "x", "B2": "y"}}).classes.tolist() == GRID
    with pytest.raises(SourceError, match=r"with x, y: z are missing"):
        predict(item, options={"band_assets": {"B1": "x", "B2": "z"}})


@pytest.mark.parametrize(
    "bands",
    [
        [{"name": "B08"}, {"name": "B02"}, {"name": "B01"}],
        [{"name": f"b{number}", "description": band} for number, band in enumerate(("B08", "B02", "B01"), 1)],
    ],
)
def test_one_asset_with_all_bands(predict, tmp_path, bands):
    pixels = np.stack([cells([[1, 1]]), cells([[0, 2]]), cells([[0, 2]])])
    write_scene(tmp_path / "all.tif", pixels, bands=(None, None))
    item = write_item(tmp_path / "item.json", {"image": asset("all.tif", bands=bands)})
    assert predict(item).classes.tolist() == [[0, 2]]


def test_jpeg_2000_assets_are_read_as_they_are(predict, tmp_path):
    for band in ("B01", "B02"):
        lossless = {"QUALITY": "100", "REVERSIBLE": "YES", "driver": "JP2OpenJPEG"}
        write_scene(tmp_path / "plain.tif", cells(GRID), bands=(None,), nodata=None)
        rasterio.shutil.copy(tmp_path / "plain.tif", tmp_path / f"{band}.jp2", **lossless)
    assets = {f"{band}-jp2": {"href": f"{band}.jp2", "type": "image/jp2"} for band in ("B01", "B02")}
    assert predict(write_item(tmp_path / "item.json", assets)).classes.tolist() == GRID


def test_nodata_of_the_item_counts_where_the_file_states_none(predict, tmp_path):
    write_scene(tmp_path / "all.tif", cells([[1, -1]]), nodata=None, bands=(None, None))
    stated = [{"nodata": 0}, {"nodata": 0}]
    bands = [{"name": "B01"}, {"name": "B02"}]
    plain = asset("all.tif", **{"eo:bands": bands, "raster:bands": stated})
    assert predict(write_item(tmp_path / "item.json", {"image": plain})).classes.tolist() == [[1, 255]]


def test_each_band_of_a_file_has_the_nodata_that_the_item_states_for_it(tmp_path):
    numbers = np.full((2, TILE, TILE), 120, np.uint16)
    numbers[0, :2], numbers[1, :4] = 65535, 0
    numbers[0, -1], numbers[1, -1] = 0, 65535  # these are pixels
    write_scene(tmp_path / "all.tif", numbers, bands=(None, None), nodata=None)
    bands = [{"name": "B01", "nodata": 65535}, {"name": "B02", "nodata": 0}]
    item = write_item(tmp_path / "item.json", {"image": asset("all.tif", bands=bands)})
    config = PredictScenesConfig.parse(scene_uri=str(item), model_uri="/m.tar.gz")
    tiles = TileFormat(("B02", "B01"), "uint16", 7, (50.0, 50.0))
    with gdal_environment(), open_grid(open_scene(config, tiles.bands), tiles, config.options, Conversion()) as grid:
        pixels, valid = grid.read(0, 0, TILE, TILE)
    expected = numbers.copy()
    expected[0, :2], expected[1, :4] = 7, 7
    np.testing.assert_array_equal(pixels, expected[::-1].transpose(1, 2, 0))
    np.testing.assert_array_equal(valid.all(axis=1), [False] * 2 + [True] * (TILE - 2))


def test_bands_in_two_reference_systems_are_refused(predict, folder):
    write_scene(folder / "B01.tif", cells(GRID), bands=(None,), crs="EPSG:32632")
    with pytest.raises(SourceError, match=r"one coordinate reference system\. Received: .*EPSG:32632.*EPSG:32631"):
        predict(write_item(folder / "item.json", NAMED["keys"]))


@pytest.mark.parametrize(
    "href", ["../other/B01.tif", "/etc/B01.tif", "https://elsewhere.example/B01.tif", "file:///etc/passwd"]
)
def test_assets_elsewhere_are_refused_unless_allowed(folder, href):
    item = write_item(folder / "item.json", {"B01": asset(href)})
    with pytest.raises(SourceError, match=r"on the item's own host, in a bucket, or below.*href_rewrite"):
        read_item(str(item), {}, {}, ["B01"])
    listed = read_item(str(item), {}, {}, [])
    assert list(listed.bands) == ["B01"]


def test_allowed_places_are_followed(predict, folder, tmp_path):
    (tmp_path / "other").mkdir()
    (folder / "B01.tif").rename(tmp_path / "other" / "B01.tif")
    assets = {"B01": asset("https://example.org/scenes/B01.tif"), "B02": asset("B02.tif")}
    item = write_item(folder / "item.json", assets)
    rewrite = {"https://example.org/scenes/": f"{tmp_path}/other/"}
    assert predict(item, options={"href_rewrite": rewrite}).classes.tolist() == GRID


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"type": "Catalog", "id": "x"}', '{"id": 1, "properties": {}, "assets": 3}']
)
def test_files_that_are_no_item_are_refused(tmp_path, text):
    path = tmp_path / "item.json"
    path.write_text(text)
    with pytest.raises(SourceError, match=r"must be a STAC item with assets\. Received: .*item\.json, which reads as"):
        read_item(str(path), {}, {}, ())


def test_the_offset_that_an_item_states_is_removed(predict, tmp_path):
    pixels = cells([[0, 2]]) + 1000
    write_scene(tmp_path / "all.tif", pixels, bands=(None, None))
    raster = [{"scale": 0.0001, "offset": -0.1}] * 2
    bands = [{"name": "B01"}, {"name": "B02"}]
    assets = {"image": asset("all.tif", **{"eo:bands": bands, "raster:bands": raster})}
    assert predict(write_item(tmp_path / "item.json", assets)).classes.tolist() == [[0, 2]]
    new = write_item(
        tmp_path / "new.json", {"image": asset("all.tif", bands=bands)}, **{"s2:processing_baseline": "05.11"}
    )
    assert predict(new).classes.tolist() == [[0, 2]]
    applied = {"s2:processing_baseline": "05.11", "earthsearch:boa_offset_applied": True}
    write_scene(tmp_path / "all.tif", pixels - 1000, bands=(None, None))
    assert predict(write_item(tmp_path / "new.json", assets, **applied)).classes.tolist() == [[0, 2]]
    assert json.loads((tmp_path / "new.json").read_text())["properties"]["earthsearch:boa_offset_applied"] is True


def test_a_model_of_common_names_takes_the_bands_of_another_platform(predict, folder, tmp_path):
    model = write_bundle(tmp_path / "m.tar.gz", names=("blue", "red"))
    assets = {
        "SR_B2": asset("B02.tif", **{"eo:bands": [{"name": "blue"}]}),
        "SR_B4": asset("B01.tif", **{"eo:bands": [{"name": "red"}]}),
    }
    item = write_item(folder / "item.json", assets, platform="landsat-8", instruments=["oli", "tirs"])
    assert predict(item, model_uri=str(model)).classes.tolist() == GRID
