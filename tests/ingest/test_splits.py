import hashlib
import random
from collections import Counter

import pytest

from tilepipe.components.ingest.rows import TileRow
from tilepipe.components.ingest.splits import split_by_files, split_by_fractions, split_by_property
from tilepipe.components.shared.errors import SourceError, SplitError

FRACTIONS = {"train": 0.7, "val": 0.15, "test": 0.15}


def rows(**counts):
    return [
        TileRow(f"{label}/{label}_{number}.tif", f"/tiles/{label}/{label}_{number}.tif", label)
        for label, count in counts.items()
        for number in range(count)
    ]


def test_each_class_is_split_in_the_same_proportions():
    tiles = rows(Forest=100, River=20, SeaLake=7)
    splits = split_by_fractions(tiles, FRACTIONS, seed=0)
    found = Counter(zip((row.label for row in tiles), splits, strict=True))
    assert {split: found["Forest", split] for split in FRACTIONS} == {"train": 70, "val": 15, "test": 15}
    assert {split: found["River", split] for split in FRACTIONS} == {"train": 14, "val": 3, "test": 3}
    assert {split: found["SeaLake", split] for split in FRACTIONS} == {"train": 5, "val": 1, "test": 1}


@pytest.mark.parametrize("count", range(3, 40))
def test_no_split_of_a_class_is_empty_and_none_is_lost(count):
    splits = split_by_fractions(rows(a=count, b=3), {"train": 0.98, "val": 0.01, "test": 0.01}, seed=count)
    assert set(splits[:count]) == set(splits[count:]) == {"train", "val", "test"}
    assert len(splits) == count + 3


def test_the_order_of_the_rows_does_not_matter():
    tiles = rows(Forest=30, River=30)
    expected = dict(zip((row.tile_id for row in tiles), split_by_fractions(tiles, FRACTIONS, seed=7), strict=True))
    random.Random(0).shuffle(tiles)
    assert (
        dict(zip((row.tile_id for row in tiles), split_by_fractions(tiles, FRACTIONS, seed=7), strict=True)) == expected
    )


def test_it_is_the_same_on_every_machine():
    """By the rank of the MD5 of seed and id, and by nothing that a version of DuckDB or of Python could change."""
    tiles = rows(Forest=6)
    splits = split_by_fractions(tiles, {"train": 0.5, "val": 0.25, "test": 0.25}, seed=1)
    ranked = sorted(tiles, key=lambda row: hashlib.md5(f"1:{row.tile_id}".encode()).hexdigest())
    expected = dict(zip((row.tile_id for row in ranked), ["train"] * 3 + ["val"] * 2 + ["test"], strict=True))
    assert splits == [expected[row.tile_id] for row in tiles]


def test_another_seed_is_another_split():
    tiles = rows(Forest=50, River=50)
    assert split_by_fractions(tiles, FRACTIONS, seed=0) != split_by_fractions(tiles, FRACTIONS, seed=1)


def test_no_test_split():
    assert set(split_by_fractions(rows(a=2, b=9), {"train": 0.8, "val": 0.2, "test": 0.0}, seed=0)) == {"train", "val"}


def test_classes_with_too_few_tiles():
    with pytest.raises(SplitError, match=r"at least 3 tiles.*Received: b with 2, c with 1\."):
        split_by_fractions(rows(a=3, b=2, c=1), FRACTIONS, seed=0)


@pytest.fixture
def lists(tmp_path):
    def write(**names):
        for split, lines in names.items():
            (tmp_path / f"{split}.txt").write_text("\n".join(lines) + "\n")
        return {split: str(tmp_path / f"{split}.txt") for split in names}

    return write


def test_lists_of_names(lists, caplog):
    tiles = rows(Forest=3, River=3)
    files = lists(
        train=["# EuroSAT", "Forest/Forest_0.tif", "", "River_0.jpg"],  # an id; a file's name but for the suffix
        val=["Forest_1.tif", " River_1.tif "],  # a file's name
        test=["Forest_2"],
    )
    assert split_by_files(tiles, files) == ["train", "val", "test", "train", "val", None]
    assert "left out 1 of 6 tiles, which no list of split_files names" in caplog.text


def test_a_file_name_beats_a_stem(lists):
    tiles = [TileRow("a/x.jpg", "/t/a/x.jpg", "a"), TileRow("a/x.tif", "/t/a/x.tif", "a")]
    assert split_by_files(tiles, lists(train=["x.tif"], val=["x.jpg"])) == ["val", "train"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            {"train": ["x_1.tif", "x_2.tif", "x_3.tif", "x_4.tif"]},
            r"4 of 4 names in .*such as x_1.tif, x_2.tif, x_3.tif;",
        ),
        (
            {"train": ["Forest_0.tif"], "val": ["Forest/Forest_0.tif"]},
            r"in one split.*Forest/Forest_0.tif in .*train and val",
        ),
        ({"train": ["same.tif"]}, r"must fit one tile. Received: same.tif in .*a/same.tif"),
    ],
)
def test_names_that_do_not_fit(lists, names, message):
    tiles = [*rows(Forest=2), TileRow("a/same.tif", "/t/a/same.tif", "a"), TileRow("b/same.tif", "/t/b/same.tif", "b")]
    with pytest.raises(SplitError, match=message):
        split_by_files(tiles, lists(**names))


def test_lists_that_cannot_be_read(tmp_path):
    with pytest.raises(SourceError, match="must exist"):
        split_by_files(rows(a=1), {"train": str(tmp_path / "none.txt")})
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(SplitError, match="must be text"):
        split_by_files(rows(a=1), {"train": str(tmp_path / "binary.txt")})


def with_splits(*splits):
    return [TileRow(str(place), f"/t/{place}", "a", split=split) for place, split in enumerate(splits)]


def test_a_property():
    assert split_by_property(with_splits("train", "Validate", "validation", "test"), "s") == [
        "train",
        "val",
        "val",
        "test",
    ]


@pytest.mark.parametrize("wrong", [None, "holdout", ""])
def test_a_property_that_names_no_split(wrong):
    with pytest.raises(SplitError, match=r"split_property='ml-aoi:split', and 1 of 2 items have .* such as 1\."):
        split_by_property(with_splits("train", wrong), "ml-aoi:split")
