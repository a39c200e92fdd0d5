import errno
import hashlib
import json
import logging
import threading
import time

import numpy as np
import pyarrow.parquet as pq
import pytest
import xxhash

from tests.pack.conftest import (
    CLAIMED_ORDER,
    TRUE_ORDER,
    Table,
    outputs,
    random_pixels,
    read_records,
    write_geotiff,
    write_picture,
)
from tests.support.loopback_server import LoopbackServer, QuietHandler
from tilepipe.components.pack import pack as module
from tilepipe.components.pack.config import PackConfig
from tilepipe.components.pack.pack import pack
from tilepipe.components.pack.shards.writer import ShardWriter
from tilepipe.components.shared.contracts.manifest import read_manifest
from tilepipe.components.shared.errors import BandError, StorageError, TileError
from tilepipe.components.shared.runtime.step import step
from tilepipe.components.shared.storage import storage

BANDS = ("B02", "B03", "B04", "B08")


def test_what_tensorflow_reads_is_what_rasterio_wrote(table, run, tmp_path):
    """Check everything: pixels, labels, splits, counts, statistics, checksums."""
    import rasterio

    table.add_geotiffs(24, descriptions=BANDS)
    manifest = run(table.write(), bands=["B08", "B02"])
    assert manifest == read_manifest(tmp_path / "out" / "manifest.json")
    assert (manifest.bands, manifest.dtype, manifest.tile_shape) == (("B08", "B02"), "uint16", (8, 8, 2))
    assert (manifest.name, manifest.class_names) == ("tiles of a test", ("a", "b"))
    rows = {row["tile_id"]: row for row in table.rows}
    train, seen = [], {}
    for split, summary in manifest.splits.items():
        labels = []
        for tile_id, label, image in read_records(tmp_path / "out" / split):
            with rasterio.open(rows[tile_id]["uri"]) as file:
                expected = np.moveaxis(file.read([4, 1]), 0, -1)
            pixels = np.frombuffer(image, "<u2").reshape(manifest.tile_shape)
            np.testing.assert_array_equal(pixels, expected)
            assert (rows[tile_id]["split"], rows[tile_id]["label"]) == (split, manifest.class_names[label])
            labels.append(manifest.class_names[label])
            seen[tile_id] = split
            if split == "train":
                train.append(pixels)
        assert summary.tiles == len(labels) == sum(shard.tiles for shard in summary.shards)
        assert summary.tiles_per_class == {name: labels.count(name) for name in ("a", "b")}
        for shard in summary.shards:
            content = (tmp_path / "out" / split / shard.name).read_bytes()
            assert (len(content), xxhash.xxh3_128_hexdigest(content)) == (shard.bytes, shard.checksum)
    assert len(seen) == 24
    every = np.concatenate(train).reshape(-1, 2).astype(float)
    for place, statistics in enumerate(manifest.statistics):
        assert statistics.mean == pytest.approx(every[:, place].mean(), rel=1e-12)
        assert statistics.std == pytest.approx(every[:, place].std(), rel=1e-12)
        assert (statistics.minimum, statistics.maximum) == (every[:, place].min(), every[:, place].max())
    checksums = "".join(shard.checksum for split in manifest.splits.values() for shard in split.shards)
    assert manifest.digest == hashlib.sha256(checksums.encode()).hexdigest()
    assert pq.read_table(tmp_path / "out" / "q.parquet").to_pydict() == {"tile_id": [], "uri": [], "reason": []}


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_bytes_with_any_number_of_threads(table, run, tmp_path):
    table.add_geotiffs(60, descriptions=BANDS)
    path = table.write()
    for readers in (1, 2, 9):
        run(path, out=str(readers), options={"readers": readers})
    assert contents(tmp_path / "1") == contents(tmp_path / "2") == contents(tmp_path / "9")
    run(path, out="seeded", seed=1)
    assert contents(tmp_path / "seeded").keys() == contents(tmp_path / "1").keys()
    assert contents(tmp_path / "seeded") != contents(tmp_path / "1")


def test_pngs_jpegs_and_geotiffs_together(table, run, tmp_path):
    for number, suffix in enumerate(("png", "jpg", "tif") * 4):
        pixels, path = random_pixels(number, (8, 8, 3), "uint8", 255), table.folder / f"{number}.{suffix}"
        write = write_geotiff if suffix == "tif" else write_picture
        table.add(f"{number}", write(path, pixels), "ab"[number % 2], "train" if number < 8 else "val")
    manifest = run(table.write())
    assert (manifest.bands, manifest.dtype, manifest.splits["val"].tiles) == (("red", "green", "blue"), "uint8", 4)
    assert manifest.splits["test"].shards == ()
    assert list((tmp_path / "out" / "test").iterdir()) == []


def test_large_splits_get_several_shards(table, run, tmp_path):
    table.add_geotiffs(30, shape=(128, 128, 4))
    manifest = run(table.write(bands=BANDS, bands_stated_by="user"), options={"shard_mebibytes": 1})
    names = [shard.name for shard in manifest.splits["train"].shards]
    assert names == ["train-00000-of-00002.tfrecord", "train-00001-of-00002.tfrecord"]
    assert sum(1 for _ in read_records(tmp_path / "out" / "train")) == manifest.splits["train"].tiles == 16


@pytest.fixture
def damaged(table):
    """100 tiles, of which three cannot be used."""
    table.add_geotiffs(100, descriptions=BANDS)
    (table.folder / "0.tif").write_bytes((table.folder / "0.tif").read_bytes()[:300])
    (table.folder / "1.tif").unlink()
    write_geotiff(table.folder / "2.tif", np.zeros((8, 8, 4), np.uint16), BANDS)
    return table.write()


def test_bad_tiles_stop_the_step_unless_some_may_be_left_out(damaged, run, tmp_path, caplog):
    for percent in (0, 2.9):
        with pytest.raises(TileError, match=r"At most [02] of 100 tiles.*3 unusable tiles:\n  tile-") as caught:
            run(damaged, options={"max_quarantine_percent": percent})
        assert str(caught.value).endswith("""\npack_options='{"max_quarantine_percent": 3}'""")
        assert not (tmp_path / "out" / "manifest.json").exists()
        assert not list((tmp_path / "out").rglob(".partial-*")), "nothing is left half written"
    manifest = run(damaged, options={"max_quarantine_percent": 3})
    assert sum(manifest.left_out.values()) == 3
    assert manifest.left_out["it is missing"] == 1
    assert "3 of 100 tiles are unusable and were LEFT OUT" in caplog.text
    assert "; it is missing (1)" in caplog.text.partition("LEFT OUT")[2].partition("\n")[0]
    assert sum(split.tiles for split in manifest.splits.values()) == 97
    left_out = {row["tile_id"]: row for row in pq.read_table(tmp_path / "out" / "q.parquet").to_pylist()}
    assert set(left_out) == {"tile-0", "tile-1", "tile-2"}
    assert left_out["tile-1"]["reason"] == "it is missing"
    assert "blank" in left_out["tile-2"]["reason"]
    assert left_out["tile-0"]["uri"].endswith("0.tif")


def test_a_tile_that_is_left_out_moves_no_other(table, run, tmp_path):
    table.add_geotiffs(20, descriptions=BANDS)
    path = table.write()
    run(path, out="all")
    (table.folder / "0.tif").unlink()
    run(path, out="some", options={"max_quarantine_percent": 10})
    every, some = (list(read_records(tmp_path / out / "train")) for out in ("all", "some"))
    assert some == [record for record in every if record[0] != "tile-0"]


def test_tiles_that_are_left_out_do_not_count_as_packed(table, run, caplog):
    caplog.set_level(logging.INFO)
    table.add_geotiffs(16, descriptions=BANDS)
    path = table.write()
    run(path, out="all")
    assert "packed 16 of 16 tiles (100 %)" in caplog.text
    caplog.clear()
    (table.folder / "0.tif").unlink()
    run(path, out="some", options={"max_quarantine_percent": 10})
    assert "packed 15 of 16 tiles (93 %), 1 left out" in caplog.text
    assert "100 %" not in caplog.text


def test_hundreds_of_bad_tiles_are_not_waited_for(table, run, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "_MORE_REJECTED", 5)
    table.add_geotiffs(8, descriptions=BANDS)
    for number in range(400):
        table.add(f"missing-{number}", f"/none/{number}", "ab"[number % 2])
    with pytest.raises(TileError, match="at least 10 unusable tiles"):
        run(table.write())
    assert list((tmp_path / "out").iterdir()) == [], "nothing is left half written"


@pytest.mark.parametrize(("split", "label"), [("val", "a"), ("train", "c")])
def test_a_split_or_class_that_loses_its_last_tile(table, run, split, label):
    table.add_geotiffs(20, descriptions=BANDS, splits=("train",))
    table.add("last", "/none/last", label, split)
    what = "the split val" if split == "val" else "the class c in train"
    with pytest.raises(TileError, match=rf"no usable tile in {what}\.\n  last \(/none/last\): it is missing"):
        run(table.write(), options={"max_quarantine_percent": 50})


def test_unknown_bands_and_bands_without_names(table, run):
    table.add_geotiffs(8)
    with pytest.raises(BandError, match="source_bands"):
        run(table.write())
    with pytest.raises(BandError, match="4 bands"):
        run(table.write(bands=BANDS[:3], bands_stated_by="user"))
    with pytest.raises(BandError, match=r"must be among B02, B03, B04, B08 .* with B99 unknown"):
        run(table.write(bands=BANDS, bands_stated_by="user"), bands=["B99"])


def test_a_full_disk_leaves_nothing_and_is_one_message(table, tmp_path, monkeypatch, capsys):
    table.add_geotiffs(8, descriptions=BANDS)
    flush, path = ShardWriter._flush, table.write()

    def full(self, file):
        if self._plan.split == "val":
            raise OSError(errno.ENOSPC, "No space left on device", str(self._folder))
        flush(self, file)

    monkeypatch.setattr(ShardWriter, "_flush", full)
    (tmp_path / "out").mkdir()
    with pytest.raises(SystemExit), step("pack"):
        pack(PackConfig.parse(), path, outputs(tmp_path / "out"))
    assert "The disk is full" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_an_object_store_that_goes_away_is_no_quarantine(table, run, monkeypatch, tmp_path):
    table.add_geotiffs(80, descriptions=BANDS)
    read = storage.read_bytes

    def unreachable(uri, max_bytes=0):
        if uri.endswith("/70.tif"):
            raise StorageError("An object store must be reachable.")
        return read(uri, max_bytes)

    monkeypatch.setattr(storage, "read_bytes", unreachable)
    with pytest.raises(StorageError, match="must be reachable"):
        run(table.write(), options={"max_quarantine_percent": 50})
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_memory_does_not_grow_with_the_number_of_tiles(tmp_path, run):
    """With six times the tiles, the peak is the same except for the table itself."""
    import tracemalloc

    tile = write_geotiff(tmp_path / "tile.tif", random_pixels(shape=(64, 64, 4)), BANDS)
    peaks = []
    for count in (80, 480):
        table = Table(tmp_path / f"t{count}")
        table.folder.mkdir()
        for number in range(count):
            table.add(f"{number}", tile, "ab"[number % 2], "train" if number % 4 else "val")
        path = table.write()
        tracemalloc.start()
        run(path, out=f"out{count}", options={"readers": 2, "allow_duplicates": True})
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 3_000_000  # 400 more tiles hold 13 MB


def test_a_constant_band_is_reported(table, run, caplog):
    caplog.set_level(logging.WARNING)
    for number in range(4):
        pixels = random_pixels(number, (8, 8, 2))
        pixels[..., 1] = 5
        table.add(f"{number}", write_geotiff(table.folder / f"{number}.tif", pixels, ("x", "y")))
    run(table.write())
    assert "bands with the same value in every pixel of train: y" in caplog.text


@pytest.fixture
def real_table(table, eurosat100):
    for place, path in enumerate(sorted(eurosat100.rglob("*.tif"))):
        split = ("train", "train", "train", "val", "test")[place % 5]
        table.add(path.name, path, path.name.split("_")[0], split, bytes=107244)
    return table


def test_the_real_eurosat100(real_table, run, real_data):
    with pytest.raises(BandError, match="it looks like B8A"):
        run(real_table.write(bands=CLAIMED_ORDER, bands_stated_by="metadata"))
    manifest = run(real_table.write(bands=TRUE_ORDER, bands_stated_by="user"))
    assert {split: summary.tiles for split, summary in manifest.splits.items()} == {"train": 60, "val": 20, "test": 20}
    known = json.loads(real_data("eurosat-ms100/band-statistics-19440-tiles.json").read_text())["band_mean"]
    for statistics in manifest.statistics:
        assert statistics.mean == pytest.approx(known[statistics.band], rel=0.1)


@pytest.mark.parametrize("label", ["Forest", "SeaLake"])
def test_a_real_class_alone(real_table, run, label):
    table = Table(real_table.folder, [row for row in real_table.rows if row["label"] == label])
    assert run(table.write(bands=TRUE_ORDER, bands_stated_by="user")).bands == TRUE_ORDER


def test_sizes_and_nodata_through_the_whole_step(table, run, tmp_path):
    """Tiles of two sizes with two nodata values become one size and one value, which statistics leave out."""
    for number in range(8):
        side, nodata = ((8, 7), (20, 9))[number % 2]
        pixels = random_pixels(number, (side, side, 4)) + 100
        pixels[: side // 2] = nodata
        path = write_geotiff(table.folder / f"{number}.tif", pixels.astype("uint16"), BANDS, nodata=nodata)
        table.add(f"{number}", path, "ab"[number // 2 % 2], ("train", "test")[number // 6])
    options = {"tile_size": [4, 6], "nodata_fill": 3}
    manifests = [run(table.write(), out=f"out{parts}", parts=parts, options=options) for parts in (1, 2)]
    assert manifests[0] == manifests[1]
    assert (manifests[0].tile_shape, manifests[0].nodata) == ((4, 6, 4), 3)
    images = [np.frombuffer(image, "<u2").reshape(4, 6, 4) for _, _, image in read_records(tmp_path / "out1" / "train")]
    pixels = np.stack(images)
    assert np.unique(pixels[:, 0]).tolist() == [3]
    assert (pixels[:, -1] >= 101).all()
    kept = pixels[..., 0][pixels[..., 0] != 3].astype(np.float64)
    statistics = manifests[0].statistics[0]
    assert (statistics.mean, statistics.minimum) == (pytest.approx(kept.mean(), rel=1e-12), kept.min())
    assert statistics.std == pytest.approx(kept.std(), rel=1e-12)


class Empty(QuietHandler):
    """A web server without files."""

    def do_GET(self):
        self.send_error(404)


def test_a_signature_is_not_disclosed(table, run, tmp_path, caplog):
    table.add_geotiffs(40)
    with LoopbackServer(Empty) as server:
        uri = f"{server.url}/a.tif"
        table.add("signed", f"{uri}?sig=c2VjcmV0")
        path = table.write(bands=("a", "b", "c", "d"), bands_stated_by="user")
        with pytest.raises(TileError, match=rf"signed \({uri}\?\.\.\.\): it is missing"):
            run(path)
        run(path, options={"max_quarantine_percent": 5})
    assert pq.read_table(tmp_path / "out" / "q.parquet")["uri"].to_pylist() == [f"{uri}?..."]
    assert "c2VjcmV0" not in caplog.text


def test_no_reader_lives_on_when_packing_ends_early(table, tmp_path, monkeypatch):
    """Readers that still ran would write to a closed cache."""
    table.add_geotiffs(400, descriptions=BANDS)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    def slowly(tiles, **given):
        time.sleep(0.05)
        return read(tiles, **given)

    read = module.read_records
    monkeypatch.setattr(module, "read_records", slowly)
    monkeypatch.setattr(ShardWriter, "write", full)
    with pytest.raises(OSError, match="No space"):
        try:
            pack(PackConfig(), table.write(), outputs(tmp_path / "out"))
        finally:
            alive = [thread.name for thread in threading.enumerate() if thread.name.startswith("tilepipe_")]
            assert alive == []
