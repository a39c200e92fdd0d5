"""Scenes of another product level, sensor, unit or offset than the training tiles."""

import json
import logging
import re

import numpy as np
import pytest
import rasterio

from tests.support.scenes import write_bundle, write_item, write_scene
from tilepipe.components.predict_scenes.config import ScenesOptions
from tilepipe.components.predict_scenes.scene.product_checks import choose_conversion
from tilepipe.components.predict_scenes.scene.scene_grid import Conversion
from tilepipe.components.predict_scenes.scene.scene_source import Scene
from tilepipe.components.shared.contracts.bands import SENTINEL_2_BANDS
from tilepipe.components.shared.contracts.manifest import BandStatistics
from tilepipe.components.shared.contracts.product import Product, product_level
from tilepipe.components.shared.errors import BandError, SourceError

# Mean and standard deviation of EuroSAT (level 1C), in the order of SENTINEL_2_BANDS.
LEVEL_1C = (
    (1353.0, 244.0), (1116.0, 333.0), (1041.0, 395.0), (946.0, 594.0), (1198.0, 567.0), (2001.0, 861.0),
    (2372.0, 1087.0), (2299.0, 1118.0), (2598.0, 1232.0), (731.0, 403.0), (12.0, 4.7), (1821.0, 1004.0),
    (1117.0, 760.0),
)  # fmt: skip
TILE = 8


def statistics(offset=0.0, bands=SENTINEL_2_BANDS):
    values = dict(zip(SENTINEL_2_BANDS, LEVEL_1C, strict=True))
    return [
        BandStatistics(
            band=band, mean=values[band][0] + offset, std=values[band][1], minimum=offset + 1, maximum=offset + 9000
        )
        for band in bands
    ]


@pytest.fixture(scope="module")
def eurosat(tmp_path_factory):
    """Return a model with EuroSAT's bands and statistics."""
    path = tmp_path_factory.mktemp("model") / "m.tar.gz"
    return str(write_bundle(path, statistics=LEVEL_1C, names=SENTINEL_2_BANDS))


def pixels(means, offset=0.0, scale=1.0, dtype="uint16"):
    rng = np.random.default_rng(0)
    noise = rng.normal(1, 0.1, (len(means), 2 * TILE, 2 * TILE))
    return ((np.asarray(means)[:, None, None] * noise + offset) * scale).astype(dtype)


def advised(error):
    """Return the options that a message names, in its order."""
    return [json.loads(text) for text in re.findall(r"options=(\{.*?\})", str(error))]


def test_a_scene_like_the_training_tiles_is_accepted(predict, eurosat, tmp_path):
    scene = write_scene(tmp_path / "s.tif", pixels([mean for mean, _ in LEVEL_1C]), bands=SENTINEL_2_BANDS)
    assert predict(scene, model_uri=eurosat).facts["classified_windows"] == 4


def test_reflectance_is_refused_for_digital_numbers(predict, eurosat, tmp_path):
    numbers = pixels([mean for mean, _ in LEVEL_1C], scale=1e-4, dtype="float32")
    scene = write_scene(tmp_path / "s.tif", numbers, bands=SENTINEL_2_BANDS)
    with pytest.raises(SourceError, match="another unit, probably reflectance from 0 to 1") as caught:
        predict(scene, model_uri=eurosat, options={"max_nodata_percent": 20})
    options = advised(caught.value)[0]
    assert options == {"max_nodata_percent": 20, "pixel_scale": 10_000, "pixel_offset": 0}
    assert predict(scene, model_uri=eurosat, options=options).facts["classified_windows"] == 4


def test_the_factor_of_another_unit_can_be_pasted(predict, eurosat, tmp_path):
    numbers = pixels([mean for mean, _ in LEVEL_1C], scale=1e-2, dtype="float32")
    scene = write_scene(tmp_path / "s.tif", numbers, bands=SENTINEL_2_BANDS)
    with pytest.raises(SourceError, match="which multiplies them by 100 and then adds 0") as caught:
        predict(scene, model_uri=eurosat)
    assert predict(scene, model_uri=eurosat, options=advised(caught.value)[0]).facts["classified_windows"] == 4


def test_other_numbers_are_refused_and_named(predict, eurosat, tmp_path, caplog):
    scene = write_scene(tmp_path / "s.tif", pixels([3 * mean for mean, _ in LEVEL_1C]), bands=SENTINEL_2_BANDS)
    with pytest.raises(SourceError, match=r"its medians differ from the training tiles: B01 .*allow_mismatch"):
        predict(scene, model_uri=eurosat)
    with caplog.at_level(logging.WARNING, logger="tilepipe.predict_scenes"):
        predict(scene, model_uri=eurosat, options={"allow_mismatch": True})
    assert "differs from the training tiles" in caplog.text


def test_clouds_over_a_third_of_a_scene_are_no_other_product(predict, eurosat, tmp_path):
    cloudy = pixels([mean for mean, _ in LEVEL_1C])
    cloudy[:, :5] = 8000
    assert predict(write_scene(tmp_path / "s.tif", cloudy, bands=SENTINEL_2_BANDS), model_uri=eurosat).facts
    hazy = pixels([mean if mean > 100 else 150 for mean, _ in LEVEL_1C])  # cirrus
    assert predict(write_scene(tmp_path / "h.tif", hazy, bands=SENTINEL_2_BANDS), model_uri=eurosat).facts


def test_an_offset_that_nothing_states_is_noticed(predict, eurosat, tmp_path):
    numbers = pixels([mean for mean, _ in LEVEL_1C], offset=1000)
    scene = write_scene(tmp_path / "s.tif", numbers, bands=SENTINEL_2_BANDS)
    with pytest.raises(SourceError, match=r"in all bands, as with the offset of 1000") as caught:
        predict(scene, model_uri=eurosat)
    assert advised(caught.value) == [{"pixel_offset": -1000}, {"pixel_offset": 0}, {"allow_mismatch": True}]
    found = predict(scene, model_uri=eurosat, options=advised(caught.value)[0])
    plain = predict(
        write_scene(tmp_path / "p.tif", numbers - 1000, bands=SENTINEL_2_BANDS),
        model_uri=eurosat,
        options={"pixel_offset": 0},
    )
    np.testing.assert_array_equal(found.classes, plain.classes)


def test_the_offset_of_new_baselines_is_removed_for_a_model_without_it(predict, eurosat, tmp_path):
    numbers = pixels([mean for mean, _ in LEVEL_1C], offset=1000)
    name = "S2A_MSIL1C_20230613T105621_N0509_R094_T31TCJ.tif"
    found = predict(write_scene(tmp_path / name, numbers, bands=SENTINEL_2_BANDS), model_uri=eurosat)
    assert found.facts["classified_windows"] == 4
    assert "1 * number -1000" in found.page
    old = predict(
        write_scene(
            tmp_path / "old.tif", numbers - 1000, bands=SENTINEL_2_BANDS, tags={"PROCESSING_BASELINE": "02.08"}
        ),
        model_uri=eurosat,
    )
    np.testing.assert_array_equal(found.classes, old.classes)


@pytest.mark.parametrize(
    ("stated", "trained", "expected"),
    [
        ({"baseline": "05.09"}, 0.0, Conversion(1.0, -1000.0)),
        ({"baseline": "04.00"}, 0.0, Conversion(1.0, -1000.0)),
        ({"baseline": "03.01"}, 0.0, Conversion()),
        ({"baseline": "05.09", "offset_is_applied": True}, 0.0, Conversion()),
        ({"stated_offset": -1000.0}, 0.0, Conversion(1.0, -1000.0)),
        ({"stated_offset": 0.0}, 1000.0, Conversion(1.0, 1000.0)),
        ({"baseline": "05.09"}, 1000.0, Conversion()),
        ({"baseline": "02.08"}, 1000.0, Conversion(1.0, 1000.0)),
        ({}, 0.0, Conversion()),
        ({}, 1000.0, Conversion()),
    ],
)
def test_the_offset_follows_scene_and_training_tiles(stated, trained, expected):
    scene = Scene(uri="/s.tif", name="s", files={}, stated_by="files", **stated)
    assert choose_conversion(scene, statistics(trained), ScenesOptions(), Product()) == expected


def test_an_offset_that_cannot_be_judged_must_be_stated():
    bright = [BandStatistics(band="B08", mean=2300.0, std=500.0, minimum=20.0, maximum=9000.0)]
    scene = Scene(uri="/s.tif", name="s", files={}, stated_by="files", baseline="05.09")
    with pytest.raises(SourceError, match=r'offset of 1000. Set options=\{"pixel_offset": -1000\}'):
        choose_conversion(scene, bright, ScenesOptions(), Product())
    assert choose_conversion(scene, bright, ScenesOptions(pixel_offset=-1000), Product()) == Conversion(1.0, -1000.0)


def test_a_real_scene_of_level_2a_is_refused_by_a_model_of_level_1c(predict, eurosat, real_data):
    path = real_data("scenes/Boadella_2020-01-13.tif")
    bands = [band for band in SENTINEL_2_BANDS if band != "B10"]
    with pytest.raises(BandError, match=r"in which B10 is missing\. Products of level 2A lack B10"):
        predict(path, model_uri=eurosat, scene_bands=bands)
    with pytest.raises(SourceError, match=r"ratio of B09 to B8A, 1\.\d\d, is that of level 2A, and the training"):
        predict(path, model_uri=eurosat, scene_bands=bands, options={"fill_bands": ["B10"]})
    found = predict(path, model_uri=eurosat, scene_bands=bands, options={"fill_bands": ["B10"], "allow_mismatch": True})
    assert found.classes.shape == (48, 48)
    with rasterio.open(found.folder / "classes.tif") as file:
        assert file.crs.to_epsg() == 4326


def test_another_sensor_and_level_are_noticed_by_metadata(predict, eurosat, tmp_path):
    scene = write_scene(tmp_path / "s.tif", pixels([mean for mean, _ in LEVEL_1C]), bands=SENTINEL_2_BANDS)
    bands = [{"name": band} for band in SENTINEL_2_BANDS]
    asset = {"href": "./s.tif", "type": "image/tiff; application=geotiff", "eo:bands": bands}
    item = write_item(tmp_path / "item.json", {"all": asset}, platform="landsat-8", **{"processing:level": "L2A"})
    with pytest.raises(SourceError, match=r"of level 2A, and the training tiles are of level 1C; it is of landsat-8"):
        predict(item, model_uri=eurosat)
    assert predict(scene, model_uri=eurosat).facts["classified_windows"] == 4


BLUE_RED = ("B02", "B04")
STATED = Product(levels=("L2A",), platforms=("sentinel-2a",), instruments=("msi",), units=("reflectance",))


def stated_scene(folder, numbers=((430.0,), (590.0,)), unit=None, **properties):
    """Write a scene of two bands, and an item that states its product."""
    write_scene(folder / "s.tif", pixels([mean for (mean,) in numbers]), bands=BLUE_RED)
    bands = [{"name": band, **({"unit": unit} if unit else {})} for band in BLUE_RED]
    return write_item(
        folder / "item.json", {"all": {"href": "./s.tif", "type": "image/tiff", "bands": bands}}, **properties
    )


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"processing:level": "L1C"}, "it is of level 1C, and the training tiles are of level 2A"),
        ({"platform": "landsat-9"}, "it is of landsat-9, and the bands of the model are named as those of Sentinel-2"),
        ({"unit": "DN"}, "its unit is DN, and that of the training tiles reflectance"),
        ({"processing:level": "L2A", "platform": "sentinel-2c", "unit": "Reflectance"}, None),
        ({}, None),
    ],
)
def test_what_both_state_is_compared_first(predict, tmp_path, stated, said):
    """By their statistics alone these training tiles would be of level 1C."""
    statistics_1c = ((430.0, 200.0), (370.0, 200.0))
    model = write_bundle(tmp_path / "m.tar.gz", names=BLUE_RED, statistics=statistics_1c, product=STATED)
    scene = stated_scene(tmp_path, ((430.0,), (370.0,)), **stated)
    if said is None:
        assert predict(scene, model_uri=str(model)).facts["classified_windows"] == 4
        return
    with pytest.raises(SourceError, match=said):
        predict(scene, model_uri=str(model))
    assert predict(scene, model_uri=str(model), options={"allow_mismatch": True}).facts["classified_windows"] == 4


@pytest.mark.parametrize(("platform", "is_other"), [("landsat-9", False), ("sentinel-2a", True), ("drone", False)])
def test_another_satellite_than_that_of_the_training_tiles(predict, tmp_path, platform, is_other):
    product = Product(platforms=("landsat-8",))
    model = write_bundle(tmp_path / "m.tar.gz", names=("swir", "thermal"), product=product)
    write_scene(tmp_path / "s.tif", pixels([120.0, 120.0]), bands=("swir", "thermal"))
    bands = [{"name": "swir"}, {"name": "thermal"}]
    asset = {"href": "./s.tif", "type": "image/tiff", "bands": bands}
    item = write_item(tmp_path / "item.json", {"all": asset}, platform=platform)
    if not is_other:
        assert predict(item, model_uri=str(model)).facts["classified_windows"] == 4
        return
    with pytest.raises(SourceError, match="it is of sentinel-2, and the training tiles are of landsat-8"):
        predict(item, model_uri=str(model))


@pytest.mark.parametrize(
    ("product", "trained", "expected"),
    [
        (Product(baselines=("05.09",)), 1000.0, Conversion()),
        (Product(baselines=("05.09", "05.10"), offset_applied=True), 1000.0, Conversion(1.0, -1000.0)),
        (Product(baselines=("02.08", "03.01")), 1000.0, Conversion(1.0, -1000.0)),
        (Product(number_offset=-1000.0), 1000.0, Conversion()),
        (Product(baselines=("05.09",)), 0.0, Conversion(1.0, -1000.0)),  # numbers that dark cannot have the offset
        (Product(baselines=("02.08", "05.09")), 0.0, Conversion(1.0, -1000.0)),
    ],
)
def test_the_offset_of_the_training_tiles_is_the_stated_one_unless_their_numbers_exclude_it(product, trained, expected):
    scene = Scene(uri="/s.tif", name="s", files={}, stated_by="files", baseline="05.09")
    assert choose_conversion(scene, statistics(trained), ScenesOptions(), product) == expected


@pytest.mark.parametrize(("blue", "red", "stated"), [(1116.0, 946.0, "L2A"), (430.0, 590.0, "L1C")])
def test_the_level_of_a_model_without_b10_shows_in_blue_and_red(predict, tmp_path, blue, red, stated):
    model = write_bundle(tmp_path / "m.tar.gz", names=("B02", "B04"), statistics=((blue, 400.0), (red, 400.0)))
    write_scene(tmp_path / "s.tif", pixels([blue, red]), bands=("B02", "B04"))
    asset = {"href": "./s.tif", "type": "image/tiff", "bands": [{"name": "B02"}, {"name": "B04"}]}
    item = write_item(tmp_path / "item.json", {"all": asset}, **{"processing:level": stated})
    with pytest.raises(SourceError, match=f"it is of level {stated[1:]}, and the training tiles are of level"):
        predict(item, model_uri=str(model))


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("S2MSI2A", "L2A"),
        ("Level-1C", "L1C"),
        ("sentinel-2-l2a", "L2A"),
        ("L1C", "L1C"),
        ("sentinel-2", ""),
        ("12A", ""),
    ],
)
def test_levels(text, level):
    assert product_level(text) == level
