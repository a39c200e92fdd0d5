import datetime as dt
import random

import pytest

from tests.support.ingested import CLASSES, SELECTION, box, info_for, scattered, table_of
from tilepipe.components.ingest.report import facts as module
from tilepipe.components.ingest.report.facts import Extent, duplicates_across_splits, make_report


def report_of(rows, **changes):
    return make_report(table_of(rows), info_for(**changes), SELECTION)


def test_counts():
    rows = scattered(200)
    report = report_of(rows)
    assert {split: facts.tiles for split, facts in report.splits.items()} == {"train": 140, "val": 30, "test": 30}
    assert report.tiles == report.located == 200
    for split, facts in report.splits.items():
        for name in CLASSES:
            expected = sum(row["split"] == split and row["label"] == name for row in rows)
            assert facts.tiles_per_class.get(name, 0) == expected
    assert report.splits["train"].groups == 14
    assert report.straddling_groups == 0
    assert report.splits["train"].first == dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    assert report.splits["val"].last == dt.datetime(2020, 1, 1, tzinfo=dt.UTC) + dt.timedelta(days=184)


def test_groups_that_straddle():
    rows = scattered(100)
    rows[0]["group"] = rows[80]["group"] = "both"
    rows[1]["group"] = rows[2]["group"] = "one"
    rows[3]["group"] = rows[90]["group"] = None
    assert report_of(rows).straddling_groups == 1


def test_area_of_a_degree_on_the_equator_and_of_the_whole_sphere():
    rows = [
        {"split": "train", "bbox": {"xmin": 0, "ymin": 0, "xmax": 1, "ymax": 1}},
        {"split": "val", "bbox": {"xmin": -180, "ymin": -90, "xmax": 180, "ymax": 90}},
        {"split": "test", "bbox": {"xmin": 179.5, "ymin": 0, "xmax": -179.5, "ymax": 1}},
        {"split": "test", "bbox": {"xmin": 179.5, "ymin": 0, "xmax": -179.5, "ymax": 1}},
    ]
    splits = report_of(rows).splits
    assert splits["train"].area_km2 == pytest.approx(12_363.7, abs=1)
    assert splits["val"].area_km2 == pytest.approx(510_065_000, rel=1e-5)
    assert splits["test"].area_km2 == pytest.approx(2 * splits["train"].area_km2)  # overlaps count twice


def test_extents():
    rows = [
        *({"split": "train", "bbox": box(x, 10, 1)} for x in (-10, 20)),
        *({"split": "val", "bbox": box(x, -17, 1)} for x in (178, -179)),
        {"split": "test", "bbox": box(180, 0, 1)},
        {"split": "test", "bbox": None},
    ]
    splits = report_of(rows).splits
    assert splits["train"].extent == Extent(-10.5, 9.5, 20.5, 10.5)
    assert splits["val"].extent == Extent(177.5, -17.5, -178.5, -16.5)
    assert splits["test"].extent == Extent(179.5, -0.5, -179.5, 0.5)
    assert splits["test"].located == 1


def test_what_has_no_coordinates_times_groups_or_checksums():
    rows = [{"split": split, "label": "Forest"} for split in ("train", "val")]
    report = report_of(rows)
    facts = report.splits["train"]
    assert (facts.groups, facts.first, facts.last, facts.area_km2, facts.extent) == (0, None, None, None, None)
    assert (report.duplicates.checksums, report.duplicates.checked) == (0, 0)
    assert report.points == {"train": (), "val": (), "test": ()}
    assert report.splits["test"].tiles == 0


def test_duplicates():
    rows = [
        *({"tile_id": f"a{i}", "split": "train", "checksum": "12aa"} for i in range(5)),
        {"tile_id": "b", "split": "test", "checksum": "12aa"},
        *({"tile_id": f"c{i}", "split": "val", "checksum": "12bb"} for i in range(3)),  # within one split: harmless
        *({"tile_id": f"d{split}", "split": split, "checksum": "1200"} for split in ("train", "val", "test")),
        *({"tile_id": f"e{split}", "split": split} for split in ("train", "val")),  # missing checksums are not equal
    ]
    for seed in range(3):
        random.Random(seed).shuffle(rows)
        found = duplicates_across_splits(table_of(rows))
        assert (found.checksums, found.tiles, found.checked) == (2, 9, 12)
        assert [one.checksum for one in found.examples] == ["1200", "12aa"]
        assert found.examples[0].tiles == (("dtest", "test"), ("dtrain", "train"), ("dval", "val"))
        assert found.examples[1].tiles == (("a0", "train"), ("a1", "train"), ("b", "test"))


def test_few_of_many_duplicates_are_examples():
    rows = [{"split": split, "checksum": f"12{i:02x}"} for i in range(30) for split in ("train", "test")]
    found = duplicates_across_splits(table_of(rows))
    assert (found.checksums, found.tiles, len(found.examples)) == (30, 60, 5)


def test_the_map_has_a_sample_of_each_split(monkeypatch):
    monkeypatch.setattr(module, "MAP_POINTS", 100)
    monkeypatch.setattr(module, "_FEWEST_MAP_POINTS", 10)
    rows = scattered(1000)
    for row in rows:
        row["split"] = "train"
    for i, row in enumerate(rows[:24]):
        row["split"] = "val" if i < 20 else "test"
    points = report_of(rows).points
    assert sum(map(len, points.values())) <= 100
    assert len(points["train"]) > 80
    assert len(points["val"]) >= 10
    assert len(points["test"]) == 4
    random.Random(0).shuffle(rows)
    assert report_of(rows).points == points
    moved = [{**row, "tile_id": f"other{row['tile_id']}"} for row in rows]
    assert report_of(moved).points != points  # depends on the ids, not on the order of the rows


def test_the_same_tiles_give_the_same_report():
    rows = scattered(300)
    first = report_of(rows)
    random.Random(1).shuffle(rows)
    assert report_of(rows) == first
