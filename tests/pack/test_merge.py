"""Several workers give the same shards, manifest and quarantine as one, or one clear error."""

import itertools
import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.pack.conftest import merge_inputs, outputs, random_pixels, write_geotiff, write_picture
from tilepipe.components.pack import pack as module
from tilepipe.components.pack.config import PackConfig
from tilepipe.components.pack.merge import MergeInputs, merge
from tilepipe.components.pack.pack import pack
from tilepipe.components.pack.shards.contents import write_contents
from tilepipe.components.pack.shards.duplicates import find_duplicates
from tilepipe.components.shared.contracts.product import Product
from tilepipe.components.shared.errors import ArtifactError, TileError

BANDS = ("x", "y", "z", "w")


def many(table, dtype="uint16"):
    """Enough tiles for several shards of 1 MiB in each split, two of them unusable."""
    for number in range(60):
        pixels = random_pixels(number, (128, 128, 4), dtype)
        path = write_geotiff(table.folder / f"{number}.tif", pixels, BANDS)
        table.add(f"tile-{number}", path, "ab"[number % 2], ("train", "train", "val", "test")[number // 2 % 4])
    for number in (3, 40):
        (table.folder / f"{number}.tif").write_bytes(b"no picture")
    return table.write()


def result(folder):
    """Return the content of each file by its name, as later steps see it, from all parts."""
    files = [*folder.rglob("*.tfrecord"), folder / "manifest.json", folder / "q.parquet"]
    return {path.name: path.read_bytes() for path in files}


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_any_number_of_workers_gives_the_same_to_the_last_bit(table, run, tmp_path, dtype):
    path, options = many(table, dtype), {"shard_mebibytes": 1, "max_quarantine_percent": 5}
    manifests = [run(path, str(parts), parts, options=options) for parts in (1, 2, 3, 9)]
    whole = result(tmp_path / "1")
    assert len(whole) == sum(len(split.shards) for split in manifests[0].splits.values()) + 2 > 8
    for parts in (2, 3, 9):
        assert result(tmp_path / str(parts)) == whole
    shares = [{path.name for path in (tmp_path / "2" / f"part-{part}").rglob("*.tfrecord")} for part in range(2)]
    assert all(shares), "both did something"
    assert not shares[0] & shares[1]
    left_out = pq.read_table(tmp_path / "3" / "q.parquet").to_pydict()
    assert left_out["tile_id"] == ["tile-3", "tile-40"]


def test_the_product_of_the_tiles_is_carried_into_the_manifest(table, run):
    product = Product(levels=("L1C",), platforms=("sentinel-2a",), baselines=("02.08",))
    table.add_geotiffs(8, descriptions=BANDS)
    plain = run(table.write(), out="plain", parts=2)
    stated = run(table.write(product=product), out="stated", parts=2)
    assert stated.product == product
    assert not plain.product
    assert stated.digest == plain.digest
    assert "product" not in json.loads(plain.model_dump_json())


def test_the_limit_is_judged_over_all_parts(table, run, tmp_path):
    path = many(table)
    for percent, parts in itertools.product((0, 2), (1, 3)):
        options = {"shard_mebibytes": 1, "max_quarantine_percent": percent}
        said = r"(at least )?2 unusable tiles:\n  tile-3 .*\n  tile-40 "
        with pytest.raises(TileError, match=rf"At most [01] of 60 tiles .*: {said}") as caught:
            run(path, f"{percent}-{parts}", parts, options=options)
        assert str(caught.value).endswith("""\npack_options='{"max_quarantine_percent": 4}'""")
        assert not (tmp_path / f"{percent}-{parts}" / "manifest.json").exists()


def test_a_class_that_only_one_part_lost_is_missed_in_the_whole(table, run):
    table.add_geotiffs(16, descriptions=BANDS, splits=("train",))
    table.add("last", "/none/last", "c", "train")
    with pytest.raises(TileError, match=r"no usable tile in the class c in train\.\n  last \(/none/last\)"):
        run(table.write(), parts=2, options={"max_quarantine_percent": 50})


@pytest.fixture
def packed(table, tmp_path):
    """Pack one of the parts; returns its folder."""
    table.add_geotiffs(16, descriptions=BANDS)
    path = table.write()

    def one(part, parts=2, **parameters):
        folder = tmp_path / f"{part}-of-{parts}-{len(list(tmp_path.iterdir()))}"
        pack(PackConfig.parse(part=part, parts=parts, **parameters), path, outputs(folder))
        return folder

    return one


def merged(folders, tmp_path):
    return merge(merge_inputs(folders), tmp_path / "manifest.json", tmp_path / "q.parquet")


def test_parts_may_come_in_any_order(packed, tmp_path):
    folders = [packed(0), packed(1)]
    assert merged(folders, tmp_path) == merged(folders[::-1], tmp_path)


def test_a_part_that_is_missing_or_there_twice(packed, tmp_path):
    first, second = packed(0), packed(1)
    for folders, numbers in (([first], r"\[0\]"), ([first, second, second], r"\[0, 1, 1\]"), ([], r"\[\]")):
        with pytest.raises(ArtifactError, match=rf"one of each of the . parts.*Received: parts {numbers}"):
            merged(folders, tmp_path)


def test_parts_of_other_data_or_parameters(packed, tmp_path):
    with pytest.raises(ArtifactError, match=r"parts 0 and 1 with seed=0 and 1\."):
        merged([packed(0), packed(1, seed=1)], tmp_path)
    with pytest.raises(ArtifactError, match=r"bands=\('x', 'y', 'z', 'w'\) and \('x',\)"):
        merged([packed(0), packed(1, bands=["x"])], tmp_path)


def test_a_damaged_part(packed, tmp_path):
    folder = packed(0, 1)
    written = json.loads((folder / "part.json").read_text())
    (folder / "part.json").write_text(json.dumps({**written, "schema_version": 2}))
    with pytest.raises(ArtifactError, match=r"schema version 1\. Received: .*part\.json"):
        merged([folder], tmp_path)
    with pytest.raises(ArtifactError, match="which reads as"):
        merge(MergeInputs([folder / "absent"], [], []), tmp_path / "manifest.json", tmp_path / "q.parquet")


def test_a_part_that_has_more_than_the_whole_may_have_stops(table, tmp_path, monkeypatch):
    table.add_geotiffs(8, descriptions=BANDS)
    for number in range(4):
        table.add(f"missing-{number}", f"/none/{number}", "a")
    path = table.write()
    config = PackConfig.parse(options={"max_quarantine_percent": 10})  # one tile of twelve
    for more, said in ((1, "at least 3 unusable tiles"), (3, "4 unusable tiles")):
        monkeypatch.setattr(module, "_MORE_REJECTED", more)
        with pytest.raises(TileError, match=rf"At most 1 of 12 tiles .* Received: {said}"):
            pack(config, path, outputs(tmp_path / "out"))
        assert not list(tmp_path.glob("out/**/*.*")), "half-written"


@pytest.fixture
def duplicated(table):
    """Identical pixels in train and test, in two file formats; and within train, where they are harmless."""
    table.add_geotiffs(16, shape=(8, 8, 3), dtype="uint8", high=255, descriptions=("red", "green", "blue"))
    twin = random_pixels(99, (8, 8, 3), "uint8", 255)
    table.add("twin-1", write_geotiff(table.folder / "t1.tif", twin), "a", "train")
    table.add("twin-2", write_picture(table.folder / "t2.png", twin), "a", "test")
    for number in (1, 2):
        same = random_pixels(77, (8, 8, 3), "uint8", 255)
        table.add(f"within-{number}", write_picture(table.folder / f"w{number}.png", same), "b", "train")
    return table.write()


@pytest.mark.parametrize("parts", [1, 2])
def test_the_same_pixels_in_two_splits_stop_the_run_unless_allowed(duplicated, run, caplog, parts):
    options = {"shard_mebibytes": 1}
    with pytest.raises(TileError) as caught:
        run(duplicated, parts=parts, options=options)
    assert "2 tiles, 1 different images:\n  twin-1 (train), twin-2 (test)\n" in str(caught.value)
    assert str(caught.value).endswith("\npack_options='{\"allow_duplicates\": true}'")
    assert "\ndata_where=\"tile_id NOT IN ('twin-2', 'within-2')\"\n" in str(caught.value)
    manifest = run(duplicated, "allowed", parts, options={**options, "allow_duplicates": True})
    assert manifest.splits["train"].tiles == 8 + 3
    assert "twin-1 (train), twin-2 (test)" in caplog.text


def test_many_duplicates_are_counted_and_a_few_named(tmp_path):
    digests = np.random.default_rng(0).bytes(16 * 70_000)
    digests = [digests[16 * number : 16 * number + 16] for number in range(70_000)]
    with write_contents(tmp_path / "a.parquet") as contents:  # more than are in memory at a time
        for number, digest in enumerate(digests):
            contents.add("train", f"a{number:05}", digest)
    with write_contents(tmp_path / "b.parquet") as contents:
        for number, digest in enumerate(digests[:20]):
            contents.add(("val", "test")[number % 2], f"b{number:05}", digest)
    assert pq.read_metadata(tmp_path / "a.parquet").num_rows == 70_000
    found = find_duplicates([tmp_path / "a.parquet", tmp_path / "b.parquet"], limit=2)
    assert (found.images, found.tiles) == (20, 40)
    assert found.copies == tuple(f"b{number:05}" for number in range(20))
    assert find_duplicates([tmp_path / "a.parquet", tmp_path / "b.parquet"], most_copies=19).copies == ()
    assert found.examples == ("a00000 (train), b00000 (val)", "a00001 (train), b00001 (test)")
    assert find_duplicates([tmp_path / "a.parquet"]).tiles == 0


def test_a_folder_name_is_no_split(tmp_path):
    contents = tmp_path / "split=train" / "contents.parquet"
    contents.parent.mkdir()
    with write_contents(contents) as table:
        table.add("train", "one", bytes(16))
        table.add("test", "two", bytes(16))
    assert find_duplicates([contents]).examples == ("one (train), two (test)",)
