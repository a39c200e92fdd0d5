"""Outlines of grids on the Earth."""

import pytest
import shapely
from rasterio.crs import CRS

from tests.support.scenes import TRANSFORM
from tilepipe.components.predict_scenes.output.class_map import MapGrid
from tilepipe.components.predict_scenes.output.footprint import footprint


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


def polar(code, left, top, size=10.0):
    """Return the outline of a square of 100 pixels near a pole, and its box."""
    transform = type(TRANSFORM)(size, 0.0, left, 0.0, -size, top)
    geometry, bbox = footprint(MapGrid(CRS.from_epsg(code), transform, 100, 100))
    outline = shapely.geometry.shape(geometry)
    assert outline.is_valid
    return outline, bbox


@pytest.mark.parametrize(("code", "pole"), [(3031, -90), (3413, 90), (3995, 90)])
def test_a_pole_within_a_grid_is_in_its_footprint(code, pole):
    outline, (west, south, east, north) = polar(code, -500.0, 400.0)
    assert (west, east) == (-180, 180)
    assert pole in {south, north}
    assert all(outline.covers(shapely.Point(longitude, 0.99999 * pole)) for longitude in range(-180, 181, 10))


def test_a_scene_around_a_pole_has_one_outline_wherever_its_corners_are():
    for number in range(50):
        outline, _ = polar(3413, -160_000.0 - 811 * number, 120_000.0 + 307 * number, 3000.0)
        assert outline.geom_type == "Polygon"
        assert outline.covers(shapely.box(-180, 89.9, 180, 90))


@pytest.mark.parametrize(("left", "top"), [(0.0, 0.0), (-1000.0, 0.0), (0.0, 1000.0), (-1000.0, 1000.0)])
@pytest.mark.parametrize("code", [3031, 3413, 3995])
def test_a_pole_at_a_corner_gives_a_quarter(code, left, top):
    outline, _ = polar(code, left, top)
    pole = -90 if code == 3031 else 90
    assert sum(part.bounds[2] - part.bounds[0] for part in getattr(outline, "geoms", [outline])) == pytest.approx(90)
    assert pole in outline.bounds


def test_the_whole_earth_is_one_rectangle():
    transform = type(TRANSFORM)(0.5, 0.0, -180.0, 0.0, -0.5, 90.0)
    geometry, bbox = footprint(MapGrid(CRS.from_epsg(4326), transform, 720, 360))
    assert bbox == [-180, -90, 180, 90]
    assert shapely.geometry.shape(geometry).equals(shapely.box(*bbox))


def test_longitudes_from_0_to_360_become_two_parts():
    transform = type(TRANSFORM)(0.1, 0.0, 170.0, 0.0, -0.1, 10.0)
    geometry, bbox = footprint(MapGrid(CRS.from_epsg(4326), transform, 300, 100))
    assert bbox == [170, 0, -160, 10]
    assert shapely.geometry.shape(geometry).equals(
        shapely.union(shapely.box(170, 0, 180, 10), shapely.box(-180, 0, -160, 10))
    )
