import contextlib
import itertools
from dataclasses import fields

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.pack.conftest import random_pixels, write_geotiff
from tilepipe.components.pack.config import PackConfig
from tilepipe.components.pack.packing_order import SAMPLE_TILES, find_layout, open_plan
from tilepipe.components.shared.contracts.manifest import SPLITS
from tilepipe.components.shared.contracts.tile_table import COLUMNS, SCALING
from tilepipe.components.shared.errors import ArtifactError, BandError, ParameterError, TileError
from tilepipe.components.shared.tiles.reader import Tile

CONFIG = PackConfig.parse(options={"readers": 2})


@pytest.fixture
def planned():
    """Function that opens plans, which stay open until the end of the test."""
    with contextlib.ExitStack() as stack:
        yield lambda path, seed=0: stack.enter_context(open_plan(path, seed))


def order(plan):
    return [[tile.tile_id for tile in plan.tiles(split)] for split in SPLITS]


def many(table, count=3000):
    for number in range(count):
        table.add(f"t{number}", f"/none/{number}", "ab"[number % 2], SPLITS[number % 3])
    return table.write()


def test_a_tile_has_columns_of_the_table():
    assert {field.name for field in fields(Tile)} <= {*COLUMNS, SCALING.name}


def test_each_tile_is_in_its_split_once_and_classes_are_mixed(table, planned):
    plan = planned(many(table))
    train, val, test = order(plan)
    assert sorted(train + val + test) == sorted(f"t{number}" for number in range(3000))
    assert all(int(name[1:]) % 3 == 0 for name in train)
    assert train != sorted(train)
    labels = [tile.label for tile in plan.tiles("train")]
    assert 400 < sum(first != second for first, second in itertools.pairwise(labels)) < 600


def test_the_order_depends_on_the_seed_alone(table, planned):
    path = many(table)
    assert order(planned(path, seed=1)) == order(planned(path, seed=1))
    assert order(planned(path, seed=1)) != order(planned(path, seed=2))


def test_the_sample_is_small_and_from_all_splits(table, planned):
    sample = planned(many(table)).sample()
    assert SAMPLE_TILES <= len(sample) <= SAMPLE_TILES + 3
    assert {int(tile.tile_id[1:]) % 3 for tile in sample} == {0, 1, 2}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"label": None}, "1 of them without a label"),
        ({"split": None}, "splits .*'None'"),
        ({"split": "holdout"}, "splits .*'holdout'"),
        ({"label": "c"}, "missing from its metadata: .*'c'"),
    ],
)
def test_tables_that_ingest_did_not_write(table, planned, row, message):
    table.add("a", "/none/a")
    table.add("b", "/none/b", **{"label": "a", **row})
    with pytest.raises(ArtifactError, match=message):
        planned(table.write(class_names=("a",)))


def test_no_table_at_all(tmp_path, table, planned):
    (tmp_path / "x.parquet").write_bytes(b"no parquet")
    with pytest.raises(ArtifactError, match="written by ingest"):
        planned(tmp_path / "x.parquet")
    table.folder.mkdir()
    with pytest.raises(ArtifactError, match="with 0 tiles"):
        planned(table.write())


def test_a_table_that_is_damaged_within(table, planned):
    path = many(table)
    content = bytearray(path.read_bytes())
    for place in range(100, len(content) // 2, 50):
        content[place] ^= 255
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=rf"written by ingest. Received: {path}, which reads as: .+"):
        planned(path)


def test_a_place_is_that_of_the_record(table, planned):
    plan = planned(many(table))
    every = [tile.tile_id for tile in plan.tiles("val")]
    assert [tile.tile_id for tile in plan.tiles("val", range(3, 1000))] == every[3:]
    assert [tile.tile_id for tile in plan.tiles("val", range(7, 9))] == every[7:9]
    assert list(plan.tiles("val", range(1000, 1001))) == [], "what follows is another split's"


def test_the_order_of_the_rows_is_nothing(table, planned, tmp_path):
    path = many(table)
    rows = pq.read_table(path).replace_schema_metadata(pq.read_metadata(path).metadata)
    turned = tmp_path / "turned [1].parquet"
    pq.write_table(rows.take(np.arange(rows.num_rows)[::-1]), turned, row_group_size=700)
    assert order(planned(turned)) == order(planned(path))


def test_all_that_the_table_says_of_a_tile(table, planned):
    table.folder.mkdir()
    said = {"bytes": 7, "checksum": "1220ab", "member": "a/b.tif", "offset": 2**40, "band_uris": ["/x.tif", "/y.tif"]}
    table.add("a", "/x.tif", **said)
    (tile,) = planned(table.write()).tiles("train")
    found = (tile.bytes, tile.checksum, tile.member, tile.offset, tile.band_uris)
    assert found == (7, "1220ab", "a/b.tif", 2**40, ("/x.tif", "/y.tif"))


def test_the_layout_is_that_of_most_tiles(table, planned):
    table.add_geotiffs(9, shape=(8, 8, 3), descriptions=("B04", "B03", "B02"))
    for number in range(3):
        path = write_geotiff(table.folder / f"odd{number}.tif", random_pixels(shape=(9, 9, 4)))
        table.add(f"odd{number}", path)
    table.add("missing", "/none")
    layout = find_layout(planned(table.write()), PackConfig.parse(bands=["B2"]))
    assert (layout.shape, layout.dtype, layout.bands) == ((8, 8, 3), "uint16", ("B02",))
    assert layout.order.stated_by == "files"


def test_no_tile_can_be_used(table, planned):
    table.add("a", "/none/a")
    table.add("b", "/none/b")
    table.folder.mkdir()
    with pytest.raises(TileError, match=r"2 tiles, none of which can be used:\n  . \(/none/.\): it is missing"):
        find_layout(planned(table.write()), CONFIG)


def test_names_are_checked_against_pixels_unless_disabled(table, planned):
    levels = np.array([12, 1000, 900, 2300, 2600, 1800, 1100])
    for number in range(4):
        pixels = (random_pixels(number, (8, 8, 7), high=20) + levels).astype("uint16")
        table.add(f"{number}", write_geotiff(table.folder / f"{number}.tif", pixels))
    names = ("B08", "B02", "B03", "B04", "B10", "B8A", "B12")
    path = table.write(bands=names, bands_stated_by="metadata")
    with pytest.raises(BandError, match=r"band 1 is called B08.* it looks like B10"):
        find_layout(planned(path), CONFIG)
    unchecked = PackConfig.parse(options={"check_band_identity": False})
    assert find_layout(planned(path), unchecked).bands == names


def test_names_are_not_held_against_eight_bits(table, planned):
    """Bands like droughtwatch's Landsat bands: named B1 to B11, each stretched independently."""
    levels = np.array([12, 100, 90, 230, 250, 180, 110])
    for number in range(4):
        pixels = (random_pixels(number, (8, 8, 7), high=5) + levels).astype("uint8")
        table.add(f"{number}", write_geotiff(table.folder / f"{number}.tif", pixels))
    names = ("B08", "B02", "B03", "B04", "B10", "B8A", "B12")
    path = table.write(bands=names, bands_stated_by="metadata")
    assert find_layout(planned(path), CONFIG).bands == names


def test_tiles_of_all_sizes_where_they_are_resized(table, planned):
    for number, shape in enumerate([(8, 8, 3), (9, 8, 3), (30, 20, 3), (5, 5, 4)]):
        table.add(f"{number}", write_geotiff(table.folder / f"{number}.tif", random_pixels(number, shape)))
    config = PackConfig.parse(options={"tile_size": [16, 12], "resampling": "lanczos"})
    plan = planned(table.write(bands=("x", "y", "z"), bands_stated_by="user"))
    layout = find_layout(plan, config)
    assert (layout.shape, layout.resizes, layout.resampling) == ((16, 12, 3), True, "lanczos")
    assert layout.file_shape == (None, None, 3)
    assert layout.tile_bytes == 16 * 12 * 3 * 2


def band_files(table, planned, sizes=(8, 4, 2), dtypes=("uint16", "uint16", "uint16")):
    for number in range(4):
        paths = [
            str(write_geotiff(table.folder / f"{number}-{band}.tif", random_pixels(band, (size, size, 1), dtype)))
            for band, (size, dtype) in enumerate(zip(sizes, dtypes, strict=True))
        ]
        table.add(f"{number}", paths[0], band_uris=paths)
    return planned(table.write(bands=("B02", "B05", "B01"), bands_stated_by="metadata"))


def test_bands_in_files_of_their_own_get_the_finest_size_that_is_kept(table, planned):
    plan = band_files(table, planned)
    unchecked = {"check_band_identity": False}
    assert [tile.band_uris[0] == tile.uri for tile in plan.sample()] == [True] * 4
    assert find_layout(plan, PackConfig.parse(options=unchecked)).shape == (8, 8, 3)
    coarse = find_layout(plan, PackConfig.parse(bands=["B01", "B05"], options=unchecked))
    assert (coarse.shape, coarse.bands) == ((4, 4, 3), ("B01", "B05"))


def test_bands_of_several_dtypes_do_not_go_together(table, planned):
    plan = band_files(table, planned, dtypes=("uint16", "uint8", "uint16"))
    with pytest.raises(
        BandError, match=r"must have the same dtype. Received: B02 uint16, B05 uint8, B01 uint16\. Select bands"
    ):
        find_layout(plan, PackConfig.parse(options={"check_band_identity": False}))
    kept = PackConfig.parse(bands=["B02", "B01"], options={"check_band_identity": False})
    assert find_layout(plan, kept).dtype == "uint16"


@pytest.mark.parametrize(
    ("dtype", "stated", "options", "packed"),
    [
        ("uint16", [None, None, None], {}, None),
        ("uint16", [0, 0, 7], {}, 0),
        ("uint16", [None, None, 7], {}, 7),
        ("uint16", [0, 0, 7], {"nodata_fill": 9}, 9),
        ("float32", [np.nan, np.nan, -1], {}, 0),
        ("float32", [np.nan, -1, -1], {}, -1),
        ("float32", [np.nan, np.nan, np.nan], {"nodata_fill": -0.5}, -0.5),
    ],
)
def test_one_number_for_nodata(table, planned, dtype, stated, options, packed):
    for number, nodata in enumerate(stated):
        pixels = random_pixels(number, dtype=dtype)
        table.add(f"{number}", write_geotiff(table.folder / f"{number}.tif", pixels, nodata=nodata))
    plan = planned(table.write(bands=("a", "b", "c", "d"), bands_stated_by="user"))
    assert find_layout(plan, PackConfig.parse(options=options)).nodata == packed


@pytest.mark.parametrize("fill", [-1, 65536, 0.5])
def test_a_number_for_nodata_that_the_tiles_cannot_hold(table, planned, fill):
    table.add_geotiffs(2)
    plan = planned(table.write(bands=("a", "b", "c", "d"), bands_stated_by="user"))
    with pytest.raises(ParameterError, match=r"a number that uint16, .*, can represent.*Received: nodata_fill="):
        find_layout(plan, PackConfig.parse(options={"nodata_fill": fill}))


def test_nodata_does_not_count_when_names_are_held_against_pixels(table, planned):
    """Cirrus is dark, but a tile that is mostly nodata is dark everywhere."""
    levels = np.array([1000, 900, 2300, 12])
    for number in range(4):
        pixels = (random_pixels(number, (8, 8, 4), high=20) + levels).astype("uint16")
        pixels[:7, :, 2] = 0
        table.add(f"{number}", write_geotiff(table.folder / f"{number}.tif", pixels, nodata=0))
    path = table.write(bands=("B03", "B04", "B08", "B10"), bands_stated_by="metadata")
    assert find_layout(planned(path), CONFIG).nodata == 0
