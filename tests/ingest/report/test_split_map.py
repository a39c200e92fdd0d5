import math
import re

import pytest

from tilepipe.components.ingest.report.split_map import split_map
from tilepipe.components.shared.pages.map_frame import degrees


def places(drawn, split):
    path = re.search(rf'<path d="([^"]*)" class="dots-{split}"', drawn)[1]
    return [(float(x), float(y)) for x, y in re.findall(r"M([-\d.]+) ([-\d.]+)", path)]


def test_a_degree_is_as_long_across_as_up_in_the_middle():
    drawn = split_map({"train": ((10, 60), (12, 60), (11, 59.5), (11, 60.5)), "val": (), "test": ()})
    (west, _), (east, _), (_, south), (_, north) = places(drawn, "train")
    assert (east - west) / 2 == pytest.approx((south - north) * math.cos(math.radians(60)), rel=0.01)
    assert "dots-val" not in drawn


def test_both_sides_of_the_antimeridian_are_drawn_together():
    drawn = split_map({"train": ((179, -17), (-179, -17)), "val": ((-180, -18),), "test": ()})
    (west, _), (east, _) = places(drawn, "train")
    ((middle, _),) = places(drawn, "val")
    assert west < middle < east
    assert middle == pytest.approx((west + east) / 2, abs=0.2)
    assert "180°<" in drawn


def test_few_points_are_on_top():
    drawn = split_map({"train": ((1, 1),), "val": ((1, 1),) * 3, "test": ((1, 1),) * 2})
    assert drawn.index("dots-val") < drawn.index("dots-test") < drawn.index("dots-train")


@pytest.mark.parametrize("points", [((0, 90), (90, 89)), ((-180, -90), (179.9, 90), (0, 0)), ((5, 5),)])
def test_poles_the_whole_earth_and_one_place_fit(points):
    drawn = split_map({"train": points, "val": (), "test": ()})
    height = float(re.search(r'viewBox="0 0 460 (\d+)"', drawn)[1])
    assert 150 < height < 450
    assert all(72 <= x <= 450 and 0 <= y <= height for x, y in places(drawn, "train"))
    latitudes = [float(value) for value in re.findall(r">([\d.]+)°[^<]*[NS]<", drawn)]
    assert max(latitudes, default=0) <= 90


@pytest.mark.parametrize(
    ("value", "sides", "shown"),
    [(12.5, "EW", "12.5° E"), (190, "EW", "170° W"), (-180, "EW", "180°"), (0, "NS", "0°"), (-33.25, "NS", "33.25° S")],
)
def test_degrees(value, sides, shown):
    assert degrees(value, sides).replace("\u202f", " ") == shown
