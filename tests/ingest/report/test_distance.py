import itertools
import math

import numpy as np
import pytest

from tests.support.ingested import box, table_of
from tilepipe.components.ingest.report import distance
from tilepipe.components.ingest.report.distance import EARTH_RADIUS_METRES, smallest_distance_metres
from tilepipe.components.shared.contracts.manifest import SPLITS


def by_brute_force(places):
    """Compute the haversines of all pairs, with another formula than the code under test."""
    found = {}
    for one, other in itertools.combinations(SPLITS, 2):
        first, second = np.radians(places[one])[:, None], np.radians(places[other])[None]
        across, up = (second - first)[..., 0], (second - first)[..., 1]
        half = np.sin(up / 2) ** 2 + np.cos(first[..., 1]) * np.cos(second[..., 1]) * np.sin(across / 2) ** 2
        found[one, other] = float(2 * EARTH_RADIUS_METRES * np.arcsin(np.sqrt(half)).min())
    return found


def table_at(places):
    return table_of([{"split": split, "bbox": box(x, y)} for split in SPLITS for x, y in places.get(split, ())])


def random_places(kind, rng):
    counts = {"train": 120, "val": 30, "test": 40}
    if kind == "sphere":
        spread = {
            s: (rng.uniform(-180, 180, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))) for s, n in counts.items()
        }
    elif kind == "antimeridian":
        spread = {s: (180 + rng.uniform(-3, 3, n), rng.uniform(-20, -15, n)) for s, n in counts.items()}
    elif kind == "pole":
        spread = {s: (rng.uniform(-180, 180, n), rng.uniform(89.2, 89.99, n)) for s, n in counts.items()}
    elif kind == "apart":
        spread = {s: (rng.uniform(0, 9, n) + 40 * i, rng.uniform(-9, 9, n)) for i, (s, n) in enumerate(counts.items())}
    else:
        spread = {s: (rng.integers(0, 40, n) * 0.01, rng.integers(0, 40, n) * 0.01) for s, n in counts.items()}
    return {split: np.stack(both, axis=1) for split, both in spread.items()}


@pytest.mark.parametrize("first_queries", [distance._FIRST_QUERIES, 2])
@pytest.mark.parametrize("kind", ["sphere", "antimeridian", "pole", "apart", "grid"])
def test_it_is_what_all_pairs_give(kind, first_queries, monkeypatch):
    monkeypatch.setattr(distance, "_FIRST_QUERIES", first_queries)  # 2: several batches, as with millions of points
    for seed in range(4):
        places = random_places(kind, np.random.default_rng(seed))
        found = smallest_distance_metres(table_at(places))
        expected = by_brute_force(places)
        assert set(found) == set(expected)
        for pair, metres in expected.items():
            assert found[pair] == pytest.approx(metres, rel=1e-7, abs=0.01)


def test_the_order_of_the_rows_does_not_matter():
    places = random_places("sphere", np.random.default_rng(7))
    backwards = {split: some[::-1] for split, some in reversed(places.items())}
    assert smallest_distance_metres(table_at(places)) == smallest_distance_metres(table_at(backwards))


def test_one_place_is_no_distance():
    found = smallest_distance_metres(table_at({"train": [(10, 50), (12, 50)], "val": [(12, 50)], "test": [(12, 51)]}))
    assert found["train", "val"] == 0
    assert found["train", "test"] == found["val", "test"] == pytest.approx(math.radians(1) * EARTH_RADIUS_METRES)


def test_180_degrees_east_is_180_degrees_west_and_a_pole_is_one_place():
    rows = [
        {"split": "train", "bbox": {"xmin": 180, "ymin": 5, "xmax": 180, "ymax": 5}},
        {"split": "val", "bbox": {"xmin": -180, "ymin": 5, "xmax": -180, "ymax": 5}},
        {"split": "val", "bbox": {"xmin": 20, "ymin": 90, "xmax": 20, "ymax": 90}},
        {"split": "test", "bbox": {"xmin": -70, "ymin": 90, "xmax": -70, "ymax": 90}},
    ]
    found = smallest_distance_metres(table_of(rows))
    assert found["train", "val"] == found["val", "test"] == 0


def test_a_box_across_the_antimeridian_has_its_center_there():
    rows = [
        {"split": "train", "bbox": {"xmin": 179, "ymin": 0, "xmax": -179, "ymax": 0}},
        {"split": "test", "bbox": {"xmin": -179.5, "ymin": 0, "xmax": -179.5, "ymax": 0}},
    ]
    half_a_degree = math.radians(0.5) * EARTH_RADIUS_METRES
    assert smallest_distance_metres(table_of(rows))["train", "test"] == pytest.approx(half_a_degree)


def test_without_coordinates_there_is_none():
    rows = [
        {"split": "train", "bbox": box(1, 1)},
        {"split": "val", "bbox": None},
        {"split": "test", "bbox": {"xmin": math.nan, "ymin": 0, "xmax": 1, "ymax": 1}},
    ]
    assert set(smallest_distance_metres(table_of(rows)).values()) == {None}


def test_two_points_opposite_each_other():
    found = smallest_distance_metres(table_at({"train": [(0, 0)], "val": [(180, 0)]}))
    assert found["train", "val"] == pytest.approx(math.pi * EARTH_RADIUS_METRES)
