import dataclasses
import datetime as dt
import hashlib
import random
from collections import Counter, defaultdict

import pytest

from tilepipe.components.ingest.config import IngestConfig
from tilepipe.components.ingest.sources.source_view import open_source_view
from tilepipe.components.ingest.sources.tile_row import TileRow
from tilepipe.components.ingest.splits.splits import split_tiles
from tilepipe.components.shared.errors import ParameterError, SourceError, SplitError
from tilepipe.components.shared.runtime.database import open_database

FRACTIONS = {"train": 0.7, "val": 0.15, "test": 0.15}


class Rows:
    kind, name = "folder", "tiles"

    def __init__(self, rows):
        self._rows = rows

    def rows(self):
        yield from self._rows


def row(tile_id, uri, label, **values):
    return TileRow(tile_id=tile_id, uri=uri, label=label, **values)


def split(tiles, **parameters):
    """Return the split of each tile, in order; None for a tile that is in none."""
    with open_database() as connection:
        with open_source_view(Rows(tiles), connection, frozenset()):
            connection.execute("CREATE TABLE chosen AS SELECT * FROM found")
        split_tiles(connection, IngestConfig.parse(source="/t", **parameters))
        places = connection.execute(
            "SELECT tile_id, places.split FROM chosen JOIN places ON chosen.rowid = places.row"
        ).fetchall()
    by_id = dict(places)
    assert len(by_id) == len(places)
    return [by_id.get(tile.tile_id) for tile in tiles]


def rows(**counts):
    return [
        row(f"{label}/{label}_{number}.tif", f"/tiles/{label}/{label}_{number}.tif", label)
        for label, count in counts.items()
        for number in range(count)
    ]


def test_each_class_is_split_in_the_same_proportions():
    tiles = rows(Forest=100, River=20, SeaLake=7)
    splits = split(tiles)
    found = Counter(zip((row.label for row in tiles), splits, strict=True))
    assert {name: found["Forest", name] for name in FRACTIONS} == {"train": 70, "val": 15, "test": 15}
    assert {name: found["River", name] for name in FRACTIONS} == {"train": 14, "val": 3, "test": 3}
    assert {name: found["SeaLake", name] for name in FRACTIONS} == {"train": 5, "val": 1, "test": 1}


@pytest.mark.parametrize("count", [3, 4, 5, 7, 11, 39])
def test_no_split_of_a_class_is_empty_and_none_is_lost(count):
    splits = split(rows(a=count, b=3), split_fractions={"train": 0.98, "val": 0.01, "test": 0.01}, seed=count)
    assert set(splits[:count]) == set(splits[count:]) == {"train", "val", "test"}


def test_the_order_of_the_rows_does_not_matter():
    tiles = rows(Forest=30, River=30)
    expected = dict(zip((row.tile_id for row in tiles), split(tiles, seed=7), strict=True))
    random.Random(0).shuffle(tiles)
    assert dict(zip((row.tile_id for row in tiles), split(tiles, seed=7), strict=True)) == expected


def test_it_is_the_same_on_every_machine():
    """Splits follow the rank of the MD5 of seed and id, which no version of DuckDB or Python changes."""
    tiles = rows(Forest=6)
    splits = split(tiles, split_fractions={"train": 0.5, "val": 0.25, "test": 0.25}, seed=1)
    ranked = sorted(tiles, key=lambda row: hashlib.md5(f"1:{row.tile_id}".encode()).hexdigest())
    expected = dict(zip((row.tile_id for row in ranked), ["train"] * 3 + ["val"] * 2 + ["test"], strict=True))
    assert splits == [expected[row.tile_id] for row in tiles]


def test_another_seed_is_another_split():
    tiles = rows(Forest=50, River=50)
    assert split(tiles, seed=0) != split(tiles, seed=1)


def test_no_test_split():
    assert set(split(rows(a=2, b=9), split_fractions={"train": 0.8, "val": 0.2, "test": 0.0})) == {"train", "val"}


def test_classes_with_too_few_tiles():
    with pytest.raises(SplitError, match=r"at least 3 tiles.*Received: b with 2, c with 1\."):
        split(rows(a=3, b=2, c=1))
    with pytest.raises(SplitError, match=r"c09 with 1 and 90 more classes\."):
        split(rows(**{f"c{number:02}": 1 for number in range(100)}))


@pytest.mark.parametrize(
    ("smallest", "fractions", "remedy"),
    [
        (
            2,
            {"train": 0.7, "val": 0.15, "test": 0.15},
            "Add tiles; set the fraction of a split to 0, such as split_frac",
        ),
        (
            1,
            {"train": 0.7, "val": 0.15, "test": 0.15},
            """Add tiles; or drop such classes with data_options='{"min_per_class": 3}', or merge them with data_op""",
        ),
        (
            1,
            {"train": 0.8, "val": 0.2},
            """such classes with data_options='{"min_per_class": 2}', or merge them with data_options='{"min_p""",
        ),
    ],
)
def test_only_remedies_that_help_are_named(smallest, fractions, remedy):
    with pytest.raises(SplitError) as caught:
        split(rows(a=3, b=3, c=smallest), split_fractions=fractions)
    assert remedy in str(caught.value)


def test_merged_for_a_final_fit():
    splits = Counter(split(rows(a=20, b=20), split_merge_train_val=True))
    assert splits == {"train": 34, "test": 6}


@pytest.fixture
def lists(tmp_path):
    def write(**names):
        names = {"train": [], "val": [], **names}
        for name, lines in names.items():
            (tmp_path / f"{name}.txt").write_text("\n".join(lines) + "\n")
        return {"split_files": {name: str(tmp_path / f"{name}.txt") for name in names}}

    return write


def test_lists_of_names(lists, caplog):
    tiles = rows(Forest=3, River=3)
    files = lists(
        train=["\ufeff# EuroSAT", "Forest/Forest_0.tif", "", "River_0.jpg"],  # an id; a file name without its suffix
        val=["Forest_1.tif", r" River\River_1.tif "],  # a file's name; a path of Windows
        test=["Forest_2"],
    )
    assert split(tiles, **files) == ["train", "val", "test", "train", "val", None]
    assert "dropped 1 of 6 tiles that are not listed in split_files" in caplog.text


def test_a_name_that_is_listed_twice_counts_once(lists):
    assert split(rows(a=2), **lists(train=["a_0.tif", "a/a_0.tif"], val=["a_1.tif"])) == ["train", "val"]


def test_a_file_name_beats_a_stem(lists):
    tiles = [row("a/x.jpg", "/t/a/x.jpg", "a"), row("a/x.tif", "/t/a/x.tif", "a")]
    assert split(tiles, **lists(train=["x.tif"], val=["x.jpg"])) == ["val", "train"]


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
        ({"train": ["same.tif"]}, r"must match one tile. Received: same.tif in .*a/same.tif"),
    ],
)
def test_names_that_do_not_fit(lists, names, message):
    tiles = [*rows(Forest=2), row("a/same.tif", "/t/a/same.tif", "a"), row("b/same.tif", "/t/b/same.tif", "b")]
    with pytest.raises(SplitError, match=message):
        split(tiles, **lists(**names))


def test_folders_that_a_name_states_must_match(lists):
    """A missing `Crop/12` never matches tile 12 of another class; only the suffix may differ."""
    tiles = [row(f"{name}.jpg", f"/t/{name}.jpg", name[0]) for name in ("Crop/1", "Forest/1", "Forest/12", "x/y.z")]
    assert split(tiles, **lists(train=["Crop/1", "t/Forest/1.png"], val=["./Forest/12.TIF"], test=["x/y.z"])) == [
        *("train", "train", "val", "test")
    ]
    for name in ("Crop/12", "Crop/12.jpg", "rop/1.jpg", "/Crop/1.jpg", "x/y", "y.q", "crop/1"):
        with pytest.raises(SplitError, match=r"1 of 1 names in .* that match no tile"):
            split(tiles, **lists(train=[name]))


def test_names_without_a_folder_or_suffix_that_fit_several_tiles(lists):
    tiles = [row(f"{name}/1.jpg", f"/t/{name}/1.jpg", name) for name in "ab"]
    with pytest.raises(SplitError, match=r"must match one tile. Received: 1 in .*a/1.jpg"):
        split(tiles, **lists(train=["1"]))


def test_a_dot_in_a_name_is_not_a_suffix(lists):
    tiles = [row(f"a/{name}", f"/t/a/{name}", "a") for name in ("t_1.jpg", "t_1.5.jpg", "t_1.25")]
    assert split(tiles, **lists(train=["t_1.5"], val=["t_1"], test=["a/t_1.25"])) == ["val", "train", "test"]
    with pytest.raises(SplitError, match="1 of 1 names"):
        split(tiles, **lists(train=["t_1.7"]))


def test_names_are_compared_in_one_normal_form(lists):
    tiles = [row("Gr\u00f6\u00dfe/e\u0301.jpg", "/t/Gr\u00f6\u00dfe/e\u0301.jpg", "a")]
    assert split(tiles, **lists(train=["Gro\u0308\u00dfe/\u00e9"])) == ["train"]


def test_names_of_members_ids_and_signed_addresses(lists):
    tiles = [
        row("one", "/t/x.zip", "a", member="Crop/1.jpg"),
        row("Crop/2.jpg", "/t/part.tfrecord", "a", offset=0),
        row("three", "https://h/Crop/3.jpg?sig=a/b", "a"),
    ]
    assert split(tiles, **lists(train=["x.zip/Crop/1"], val=["Crop/2"], test=["Crop/3"])) == ["train", "val", "test"]


def test_lists_that_cannot_be_read(tmp_path):
    missing = str(tmp_path / "none.txt")
    with pytest.raises(SourceError, match="must exist"):
        split(rows(a=1), split_files={"train": missing, "val": missing})
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(SplitError, match="must be UTF-8 text"):
        split(rows(a=1), split_files={"train": str(tmp_path / "binary.txt"), "val": missing})


def with_splits(*splits):
    return [row(str(place), f"/t/{place}", "a", split=name) for place, name in enumerate(splits)]


def test_a_property():
    tiles = with_splits("train", "Validate", "validation", "test")
    assert split(tiles, split_property="s") == ["train", "val", "val", "test"]


@pytest.mark.parametrize("wrong", [None, "holdout", ""])
def test_a_property_that_names_no_split(wrong):
    with pytest.raises(SplitError, match=r"split_property='ml-aoi:split', and 1 of 2 tiles have .* such as 1\."):
        split(with_splits("train", wrong), split_property="ml-aoi:split")


def test_split_folders_unless_lists_say_otherwise(lists):
    tiles = with_splits("train", "val", "test")
    assert split(tiles) == ["train", "val", "test"]
    assert split(tiles, split_merge_train_val=True) == ["train", "train", "test"]
    assert split(tiles, **lists(train=["2"], val=["0"])) == ["val", None, "train"]


def in_groups(groups=40, seed=0):
    """Groups of different sizes and mixtures of three classes."""
    chance = random.Random(seed)
    return [
        row(f"{group}-{number}", f"/t/{group}-{number}", chance.choice("aabbbc"), group=f"g{group}")
        for group in range(groups)
        for number in range(chance.randint(1, 30))
    ]


@pytest.mark.parametrize("seed", range(5))
def test_no_group_straddles_and_the_classes_keep_their_proportions(seed):
    tiles = in_groups(seed=seed)
    splits = split(tiles, split_by="group", seed=seed)
    of_group = defaultdict(set)
    for tile, name in zip(tiles, splits, strict=True):
        of_group[tile.group].add(name)
    assert all(len(names) == 1 for names in of_group.values())
    for label in "abc":
        counts = Counter(name for tile, name in zip(tiles, splits, strict=True) if tile.label == label)
        assert counts["train"] / counts.total() == pytest.approx(0.7, abs=0.06)
        assert counts["val"] / counts.total() == pytest.approx(0.15, abs=0.06)


def test_every_split_gets_a_group_where_there_are_just_enough():
    tiles = [
        row(f"{g}-{n}", f"/t/{g}-{n}", "a", group=g) for g, size in (("x", 98), ("y", 1), ("z", 1)) for n in range(size)
    ]
    assert set(split(tiles, split_by="group")) == {"train", "val", "test"}


def test_groups_that_are_too_few_or_absent():
    tiles = [row(str(n), f"/t/{n}", "a", group="gh"[n % 2]) for n in range(9)]
    with pytest.raises(SplitError, match=r"at least as many groups as splits, 3. Received: 2 groups, g, h"):
        split(tiles, split_by="group")
    with pytest.raises(SplitError, match=r"each tile must have a group. Received: 3 tiles.*such as a/a_0.tif"):
        split(rows(a=3), split_by="group")


def on_land(count=400, west=-0.2, south=51.0):
    """Tiles of about 640 m, side by side in a square."""
    side, step = int(count**0.5), 0.0058
    return [
        row(
            f"{x}-{y}",
            f"/t/{x}-{y}",
            "ab"[(x + y) % 2],
            bbox=(west + x * step / 0.63, south + y * step, west + (x + 1) * step / 0.63, south + (y + 1) * step),
        )
        for x in range(side)
        for y in range(side)
    ]


@pytest.mark.parametrize(("west", "south"), [(-0.2, 51.0), (179.9, -17.0), (20.0, 89.5)])
def test_blocks_are_of_the_size_that_was_asked_for(west, south):
    tiles = on_land(west=west, south=south)
    with open_database() as connection:
        with open_source_view(Rows(tiles), connection, frozenset()):
            connection.execute("CREATE TABLE chosen AS SELECT * FROM found")
        config = IngestConfig.parse(source="/t", split_by="block", split_block_metres=3000)
        split_tiles(connection, config)
        blocks = connection.execute(
            'SELECT "group", max(bbox.ymax) - min(bbox.ymin), count(DISTINCT places.split) FROM chosen '
            'JOIN places ON chosen.rowid = places.row GROUP BY "group"'
        ).fetchall()
    assert all(splits == 1 for _, _, splits in blocks)
    assert max(height * 111_195 for _, height, _ in blocks) < 3000 + 2 * 645
    if south < 80:  # 20 tiles of 640 m on a side give 4.3 blocks on a side
        assert 16 <= len(blocks) <= 36


def test_blocks_need_a_place_on_earth():
    with pytest.raises(SplitError, match=r"each tile must have a bbox.*Received: 3 tiles"):
        split(rows(a=3), split_by="block", split_block_metres=1000)


@pytest.mark.parametrize("box", [(500_000.0, 5_500_000.0, 500_640.0, 5_500_640.0), (5.0, 60.0, 6.0, 2.0)])
def test_a_box_that_is_nowhere_on_earth_is_no_place(box):
    tiles = [dataclasses.replace(tile, bbox=box) for tile in rows(a=3)]
    with pytest.raises(SplitError, match=rf"3 tiles without a valid one, such as \S+ with \[{box[0]}, {box[1]}"):
        split(tiles, split_by="block", split_block_metres=1000)


def test_time_trains_on_the_past():
    start = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    tiles = [row(str(n), f"/t/{n}", "ab"[n % 2], datetime=start + dt.timedelta(days=n // 4)) for n in range(80)]
    random.Random(1).shuffle(tiles)
    splits = split(tiles, split_by="time")
    times = defaultdict(set)
    for tile, name in zip(tiles, splits, strict=True):
        times[name].add(tile.datetime)
    assert max(times["train"]) < min(times["val"]) <= max(times["val"]) < min(times["test"])
    assert Counter(splits) == {"train": 56, "val": 12, "test": 12}


def test_a_cap_below_the_number_of_splits_is_named():
    with pytest.raises(SplitError, match=r"Received: data_max_per_class=2. Set data_max_per_class=3 or more"):
        split(rows(a=2, b=2), max_per_class=2)


@pytest.mark.parametrize(
    ("tiles_of_times", "expected"),
    [([10, 10, 10, 10], [2, 1, 1]), ([90, 5, 5], [1, 1, 1]), ([1, 1, 98], [1, 1, 1]), ([40, 40, 10, 5, 5], [2, 1, 2])],
)
def test_a_few_times_with_many_tiles_leave_no_split_empty(tiles_of_times, expected):
    times = [
        dt.datetime(2026, 1, 1 + day, tzinfo=dt.UTC) for day, count in enumerate(tiles_of_times) for _ in range(count)
    ]
    tiles = [row(str(n), f"/t/{n}", "ab"[n % 2], datetime=time) for n, time in enumerate(times)]
    placed = set(zip(times, split(tiles, split_by="time"), strict=True))
    assert [name for _, name in sorted(placed)] == [
        name for name, count in zip(FRACTIONS, expected, strict=True) for _ in range(count)
    ]


def test_a_split_by_time_needs_times():
    with pytest.raises(ParameterError, match=r"each tile must have a time. Received: 3 tiles .* data_columns="):
        split(rows(a=3), split_by="time")
    timed = [dataclasses.replace(one, datetime=dt.datetime(2026, 1, 1, tzinfo=dt.UTC)) for one in rows(a=1)]
    with pytest.raises(
        ParameterError, match=r"Received: 3 tiles .* drop these tiles with data_where='\"datetime\" IS N"
    ):
        split(timed + rows(b=3), split_by="time")


@pytest.mark.parametrize("options", [{}, {"split_property": "s"}])
def test_val_is_taken_from_train_if_the_source_has_none(options):
    tiles = [
        row(f"{label}_{n}", "u", label, split=split, properties={"s": split})
        for label, count in (("a", 20), ("b", 7), ("c", 1))
        for split in ("train", "test")
        for n in range(count)
    ]
    tiles = [dataclasses.replace(tile, tile_id=f"{tile.tile_id}_{tile.split}") for tile in tiles]
    splits = split(tiles, **options)
    assert Counter(zip((tile.label for tile in tiles), splits, strict=True)) == {
        ("a", "train"): 16,
        ("a", "val"): 4,
        ("a", "test"): 20,
        ("b", "train"): 6,
        ("b", "val"): 1,
        ("b", "test"): 7,
        ("c", "train"): 1,
        ("c", "test"): 1,
    }
    assert split(tiles, split_merge_train_val=True, **options).count("train") == 28
    assert splits != split(tiles, seed=1, **options)
