"""The land on maps: Natural Earth's, at known places, within the frame."""

import gzip
import os
import re
from importlib.resources import files
from pathlib import Path
from xml.etree import ElementTree

import pytest
from shapely import Point, Polygon

from tests.support.make_land import land_of
from tilepipe.components.shared.pages.land import DATA, land_path, land_rings
from tilepipe.components.shared.pages.map_frame import map_drawing, map_frame

ATLAS = os.environ.get("TILEPIPE_WORLD_ATLAS", "")
"""Path of land-50m.json of the npm package world-atlas 2.0.2."""


def content():
    return files("tilepipe.components.shared.pages").joinpath(DATA).read_bytes()


@pytest.fixture(scope="module")
def rings():
    return [Polygon(ring) for ring in land_rings()]


@pytest.mark.parametrize(
    ("longitude", "latitude", "is_land"),
    [
        (2.35, 48.85, True),  # Paris
        (-62, -8, True),  # Amazon
        (179, 67, True),  # both sides of the antimeridian, in Chukotka
        (-175, 66.5, True),
        (0, -89, True),  # South Pole
        (147, -42, True),  # Tasmania
        (-30, 30, False),  # Atlantic
        (51, 42, False),  # Caspian Sea
        (-179, 0, False),  # Pacific
        (0, 89, False),  # North Pole
        (18, 57, False),  # Baltic Sea
    ],
)
def test_land_is_where_it_is(rings, longitude, latitude, is_land):
    inside = sum(ring.contains(Point(longitude + turn, latitude)) for ring in rings for turn in (-360, 0, 360))
    assert inside % 2 == is_land


def test_the_file_is_small():
    assert len(content()) < 60_000
    assert len(land_rings()) > 1000


@pytest.mark.skipif(not ATLAS, reason="TILEPIPE_WORLD_ATLAS does not name land-50m.json of world-atlas")
def test_the_file_is_made_from_natural_earth():
    assert land_of(Path(ATLAS)) == gzip.decompress(content())


def corners(path):
    """List the points of a path, in pixels."""
    found = []
    for x, y, steps in re.findall(r"M(-?\d+) ?(-?\d+)l([^z]*)z", path):
        place = (int(x), int(y))
        found.append(place)
        numbers = [int(number) for number in re.findall(r"-?\d+", steps)]
        for right, down in zip(numbers[::2], numbers[1::2], strict=True):
            place = (place[0] + right, place[1] + down)
            found.append(place)
    return [(x / 10, y / 10) for x, y in found]


@pytest.mark.parametrize(
    ("west", "north", "across"),
    [(-180, 84, 1.0), (-10, 60, 9.0), (170, 5, 18.0), (-190, 5, 18.0), (530, 5, 18.0), (-60, -60, 3.0)],
)
def test_it_is_drawn_within_the_frame(west, north, across):
    drawn = corners(land_path(west, north, across, across, 376, 200))
    assert len(drawn) > 8
    assert all(-4 < x < 380 and -4 < y < 204 for x, y in drawn)


def test_a_turn_of_the_earth_changes_nothing():
    one, other = (land_path(west, 5, 18, 18, 376, 400) for west in (170, -190))
    assert one == other
    assert min(x for x, _ in corners(one)) < 188 < max(x for x, _ in corners(one))


def test_the_open_sea_is_empty():
    assert land_path(-40, 35, 40, 40, 376, 200) == ""


def test_maps_of_wide_areas_have_land_below_the_grid():
    frame = map_frame([(-9, 36), (30, 60)])
    drawing = ElementTree.fromstring(map_drawing(frame, description="a map"))
    tags = [child.tag.rsplit("}", 1)[-1] for child in drawing]
    assert tags[:3] == ["rect", "svg", "line"]
    assert len(map_drawing(map_frame([(-170, -60), (175, 75)]), description="the earth")) < 60_000


def test_maps_of_small_areas_have_none():
    assert 'class="land"' not in map_drawing(map_frame([(8, 44), (10, 45.5)]), description="a map")
