"""Facts of scenes from their files, names and tags."""

from datetime import UTC, datetime

import numpy as np
import pytest

from tests.support.scenes import cells, read_scene, write_item, write_scene
from tilepipe.components.predict_scenes.config import PredictScenesConfig
from tilepipe.components.predict_scenes.scene.gdal_access import gdal_environment
from tilepipe.components.predict_scenes.scene.scene_source import open_scene, time_in_name
from tilepipe.components.shared.errors import BandError, ParameterError

NEEDED = ("B01", "B02")


def described(path, needed=NEEDED, **parameters):
    with gdal_environment():
        return open_scene(PredictScenesConfig.parse(scene_uri=str(path), model_uri="/m.tar.gz", **parameters), needed)


def test_a_product_name_states_level_baseline_and_time(tmp_path):
    name = "S2A_MSIL2A_20230613T105621_N0509_R094_T31TCJ_20230613T170304"
    scene = described(write_scene(tmp_path / f"{name}.tif", cells([[1]])))
    assert (scene.name, scene.level, scene.baseline, scene.platform) == (name, "L2A", "05.09", "sentinel-2")
    assert scene.time == datetime(2023, 6, 13, 10, 56, 21, tzinfo=UTC)


def test_tags_of_gdal_are_used(tmp_path):
    tags = {
        "PROCESSING_BASELINE": "04.00",
        "PROCESSING_LEVEL": "Level-1C",
        "PRODUCT_START_TIME": "2022-02-03T10:11:12.024Z",
        "DATATAKE_1_SPACECRAFT_NAME": "Sentinel-2B",
    }
    bands = ("B1, central wavelength 443 nm", "B2, central wavelength 490 nm")
    scene = described(write_scene(tmp_path / "x.tif", cells([[1]]), bands=bands, tags=tags))
    assert (scene.level, scene.baseline, scene.platform) == ("L1C", "04.00", "Sentinel-2B")
    assert scene.time.replace(microsecond=0) == datetime(2022, 2, 3, 10, 11, 12, tzinfo=UTC)
    assert {name: file.index for name, file in scene.files.items()} == {"B01": 1, "B02": 2}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Boadella_2020-01-13", datetime(2020, 1, 13, tzinfo=UTC)),
        ("LC08_20190704_T1", datetime(2019, 7, 4, tzinfo=UTC)),
        ("tile_20201399", None),
        ("31TCJ", None),
    ],
)
def test_times_in_names(name, expected):
    assert time_in_name(name) == expected


def test_a_stated_time_is_used(tmp_path):
    scene = described(write_scene(tmp_path / "x.tif", cells([[1]])), options={"datetime": "2021-05-01T12:00:00+02:00"})
    assert scene.time == datetime(2021, 5, 1, 10, tzinfo=UTC)
    with pytest.raises(ParameterError, match=r"`datetime` must be an ISO 8601 time\. Received: datetime='yesterday'"):
        described(tmp_path / "x.tif", options={"datetime": "yesterday"})


def test_scene_bands_must_name_each_band(tmp_path):
    scene = write_scene(tmp_path / "x.tif", cells([[1]]))
    with pytest.raises(ParameterError, match=r"Received: 1 names, B01, for 2 bands"):
        described(scene, scene_bands=["B1"])
    with pytest.raises(ParameterError, match="must name each band once"):
        described(scene, scene_bands=["B1", "B01"])


def test_colors_beside_alpha_have_their_usual_names(tmp_path):
    pixels = np.stack([cells([[1]]).astype(np.uint8)] * 4)
    path = write_scene(tmp_path / "x.tif", pixels, bands=None, nodata=None, photometric="RGB", alpha="YES")
    scene = described(path, needed=("red", "green", "blue"))
    assert {name: file.index for name, file in scene.files.items()} == {"red": 1, "green": 2, "blue": 3}
    infrared = write_scene(tmp_path / "i.tif", pixels, bands=None, nodata=None, photometric="RGB", alpha="NO")
    with pytest.raises(BandError, match="4 bands and no names"):
        described(infrared)


def test_harmonized_collections_have_no_offset(tmp_path):
    write_scene(tmp_path / "x.tif", cells([[1]]))
    asset = {"href": "x.tif", "type": "image/tiff", "bands": [{"name": "B01"}, {"name": "B02"}]}
    item = write_item(tmp_path / "COPERNICUS_S2_SR_HARMONIZED_31TCJ.json", {"image": asset})
    assert described(item).offset_is_applied is True


@pytest.mark.parametrize(
    ("stated", "in_file", "message"),
    [
        (("B1", "B2"), ("B01", "B02"), ""),
        (("B1", "B2"), ("red", "B02, central wavelength 490 nm"), ""),
        (("B1", "B2"), ("first", None), ""),
        (("B1", "B2"), ("B02", "B01"), "B01 as number 1, in the file 2, B02 as number 2, in the file 1 of .*s.tif"),
        (("B1", "B2"), ("NDVI", "B01"), "B01 as number 1, in the file 2 of .*s.tif"),
        (("B1", "SCL", "B2"), (None, None), "3 bands for .*s.tif, which has 2"),
        (("B1", "B2"), (None, None, None), "2 bands for .*s.tif, which has 3"),
    ],
)
@pytest.mark.parametrize("field", ["bands", "eo:bands"])
def test_an_item_and_its_file_must_agree_on_bands(tmp_path, stated, in_file, message, field):
    numbers = np.stack([np.full((8, 8), 10 * place, np.uint16) for place in range(1, len(in_file) + 1)])
    write_scene(tmp_path / "s.tif", numbers, bands=in_file)
    asset = {"href": "s.tif", "type": "image/tiff", "roles": ["data"], field: [{"name": name} for name in stated]}
    item = write_item(tmp_path / "item.json", {"data": asset})
    if message:
        with pytest.raises(BandError, match=rf"must state the same bands in the same order\. Received: {message}"):
            read_scene(item)
    else:
        assert read_scene(item)[0][0, 0].tolist() == [10, 20]
