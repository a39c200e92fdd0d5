"""Places and classes in the STAC item of a class map."""

from datetime import UTC, datetime

import pystac
import pytest
import shapely
from rasterio.crs import CRS

from tests.support.scenes import TRANSFORM
from tilepipe.components.predict_scenes.output.class_map import MapGrid
from tilepipe.components.predict_scenes.output.prediction_item import Provenance, footprint, prediction_item


def test_a_footprint_is_counterclockwise_and_closed():
    geometry, bbox = footprint(MapGrid(CRS.from_epsg(32631), TRANSFORM, 100, 200))
    outline = shapely.geometry.shape(geometry)
    assert outline.is_valid
    assert outline.exterior.is_ccw
    assert bbox == pytest.approx([3.0, 42.4343, 3.0122, 42.4523], abs=1e-4)
    assert len(geometry["coordinates"][0]) == 17


def test_a_footprint_across_the_antimeridian_has_two_parts():
    transform = type(TRANSFORM)(1000.0, 0.0, 600_000.0, 0.0, -1000.0, 7_000_000.0)
    geometry, bbox = footprint(MapGrid(CRS.from_epsg(32660), transform, 100, 100))
    outline = shapely.geometry.shape(geometry)
    assert geometry["type"] == "MultiPolygon"
    assert outline.is_valid
    assert all(part.exterior.is_ccw for part in outline.geoms)
    west, _, east, _ = bbox
    assert 170 < west < 180
    assert -180 < east < -170
    assert [round(part.bounds[2] - part.bounds[0]) < 5 for part in outline.geoms] == [True, True]


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
