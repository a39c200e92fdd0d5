import itertools

import numpy as np
import pytest

from tests.pack.conftest import random_pixels, write_geotiff
from tilepipe.components.pack.config import PackConfig
from tilepipe.components.pack.plan import SAMPLE_TILES, find_layout, make_plan
from tilepipe.components.shared.errors import ArtifactError, BandError, TileError
from tilepipe.components.shared.manifest import SPLITS

CONFIG = PackConfig.parse(options={"readers": 2})


def order(plan):
    return [[tile.tile_id for tile in plan.tiles(split)] for split in SPLITS]


def many(table, count=3000):
    for number in range(count):
        table.add(f"t{number}", f"/none/{number}", "ab"[number % 2], SPLITS[number % 3])
    return table.write()


def test_each_tile_stands_in_its_split_once_and_classes_are_mixed(table):
    plan = make_plan(many(table), seed=0)
    train, val, test = order(plan)
    assert sorted(train + val + test) == sorted(f"t{number}" for number in range(3000))
    assert all(int(name[1:]) % 3 == 0 for name in train)
    assert train != sorted(train)
    labels = [tile.label for tile in plan.tiles("train")]
    assert 400 < sum(first != second for first, second in itertools.pairwise(labels)) < 600


def test_the_order_depends_on_the_seed_alone(table):
    path = many(table)
    assert order(make_plan(path, seed=1)) == order(make_plan(path, seed=1))
    assert order(make_plan(path, seed=1)) != order(make_plan(path, seed=2))


def test_the_sample_is_small_and_from_all_splits(table):
    sample = make_plan(many(table), seed=0).sample()
    assert SAMPLE_TILES <= len(sample) <= SAMPLE_TILES + 3
    assert {int(tile.tile_id[1:]) % 3 for tile in sample} == {0, 1, 2}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"label": None}, "1 of them without a label"),
        ({"split": None}, "splits .*'None'"),
        ({"split": "holdout"}, "splits .*'holdout'"),
        ({"label": "c"}, "do not name: .*'c'"),
    ],
)
def test_tables_that_ingest_did_not_write(table, row, message):
    table.add("a", "/none/a")
    table.add("b", "/none/b", **{"label": "a", **row})
    with pytest.raises(ArtifactError, match=message):
        make_plan(table.write(class_names=("a",)), seed=0)


def test_no_table_at_all(tmp_path, table):
    (tmp_path / "x.parquet").write_bytes(b"no parquet")
    with pytest.raises(ArtifactError, match="that `ingest` wrote"):
        make_plan(tmp_path / "x.parquet", seed=0)
    table.folder.mkdir()
    with pytest.raises(ArtifactError, match="with 0 tiles"):
        make_plan(table.write(), seed=0)


def test_the_layout_is_that_of_most_tiles(table):
    table.add_geotiffs(9, shape=(8, 8, 3), descriptions=("B04", "B03", "B02"))
    for number in range(3):
        path = write_geotiff(table.folder / f"odd{number}.tif", random_pixels(shape=(9, 9, 4)))
        table.add(f"odd{number}", path)
    table.add("missing", "/none")
    layout = find_layout(make_plan(table.write(), seed=0), PackConfig.parse(bands=["B2"]))
    assert (layout.shape, layout.dtype, layout.bands) == ((8, 8, 3), "uint16", ("B02",))
    assert layout.order.stated_by == "files"


def test_no_tile_can_be_used(table):
    table.add("a", "/none/a")
    table.add("b", "/none/b")
    table.folder.mkdir()
    with pytest.raises(TileError, match=r"2 tiles, none of which can be used:\n  . \(/none/.\): it is missing"):
        find_layout(make_plan(table.write(), seed=0), CONFIG)


def test_names_are_held_against_pixels_unless_told_otherwise(table):
    levels = np.array([12, 1000, 900, 2300, 2600, 1800, 1100])
    for number in range(4):
        pixels = (random_pixels(number, (8, 8, 7), high=20) + levels).astype("uint16")
        table.add(f"{number}", write_geotiff(table.folder / f"{number}.tif", pixels))
    names = ("B08", "B02", "B03", "B04", "B10", "B8A", "B12")
    path = table.write(bands=names, bands_stated_by="metadata")
    with pytest.raises(BandError, match=r"band 1 is called B08.* it looks like B10"):
        find_layout(make_plan(path, seed=0), CONFIG)
    unchecked = PackConfig.parse(options={"check_band_identity": False})
    assert find_layout(make_plan(path, seed=0), unchecked).bands == names
