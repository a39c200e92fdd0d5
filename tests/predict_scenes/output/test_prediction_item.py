"""Places and classes in the STAC item of a class map."""

from datetime import UTC, datetime

import pystac
import pytest
from rasterio.crs import CRS

from tests.support.scenes import TRANSFORM
from tilepipe.components.predict_scenes.output.class_map import MapGrid
from tilepipe.components.predict_scenes.output.prediction_item import Provenance, prediction_item


@pytest.fixture
def item(tmp_path):
    """Return the item of a map with awkward names of classes and a reference system without a code."""
    for name in ("classes.tif", "confidence.tif", "preview.png"):
        (tmp_path / name).write_bytes(b"x")
    crs = CRS.from_proj4("+proj=laea +lat_0=10 +lon_0=20 +ellps=GRS80 +units=m +no_defs")
    provenance = Provenance(
        name="s-1", scene="/s.tif", scene_is_item=False, scene_name="s", time=None,
        created=datetime(2026, 11, 29, 12, tzinfo=UTC), model="/m.tar.gz", model_name="m", model_version="",
        model_digest="0" * 64, settings={},
    )  # fmt: skip
    grid = MapGrid(crs, type(TRANSFORM)(640.0, 0.0, 0.0, 0.0, -640.0, 0.0), 10, 20)
    return prediction_item(tmp_path, grid, provenance, ("Été", "Sea / Lake", "Sea Lake"), ((1, 2, 3),) * 3)


def test_it_is_valid_and_names_follow_the_schema(item):
    core = {key: value for key, value in item.items() if key != "stac_extensions"}  # pystac has only the core schema
    assert len(pystac.Item.from_dict(core).validate()) == 1
    classes = item["assets"]["classes"]["bands"][0]["classification:classes"]
    assert [one["name"] for one in classes] == ["t", "Sea_Lake", "Sea_Lake_2", "nodata"]
    assert classes[0]["title"] == "Été"


def test_a_reference_system_without_a_code_is_written_out(item):
    assert item["properties"]["proj:code"] is None
    assert item["properties"]["proj:wkt2"].startswith("PROJCRS[")
    assert item["properties"]["gsd"] == 640.0


def test_an_unknown_time_is_that_of_the_prediction_and_said(item):
    assert item["properties"]["datetime"] == item["properties"]["created"] == "2026-11-29T12:00:00Z"
    assert item["properties"]["description"].endswith("its time is not known")
