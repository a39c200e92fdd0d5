import contextlib
import gc
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import tracemalloc
from datetime import timedelta

import numpy as np
import pytest

from tests.support.faulty_proxy import FaultyProxy
from tests.support.packed import write_packed
from tests.support.waiting import check_stays, wait_until
from tilepipe.components.shared.contracts import shard_tiles
from tilepipe.components.shared.errors import ArtifactError, ParameterError, SourceError, StorageError
from tilepipe.components.shared.storage import s3
from tilepipe.components.train.input.options import DataOptions
from tilepipe.components.train.input.tiles import open_tiles

# A shard of 20 tiles of 64 KiB is 1.25 MiB: a window of 3 MiB holds two of them, and a cache of 3 MiB too.
SHAPE = (128, 128, 2)
TILES, SHARDS, BATCH = 110, 6, 16
SMALL = {"window_mebibytes": 3, "shard_cache_mebibytes": 3}


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A data set whose tiles differ in their pixels."""
    folder = tmp_path_factory.mktemp("packed")
    return folder, write_packed(folder, tiles=(TILES, 35, 0), shape=SHAPE, shards=SHARDS)


@pytest.fixture
def opened(packed):
    folder, manifest = packed

    def make(placement="streamed", split="train", where=None, **settings):
        given = {"batch_size": BATCH, "seed": 7, "memory_mebibytes": 100} | settings
        options = DataOptions(placement=placement, **{**SMALL, **given.pop("options", {})})
        return open_tiles(where or [folder / split], split, manifest, options=options, **given)

    return make


def contents(tiles, data):
    return [
        [(image.tobytes(), int(label)) for image, label in zip(*batch, strict=True)] for batch in taken(tiles, data)
    ]


def taken(tiles, data):
    return [tuple(tensor.numpy() for tensor in tiles.fetch(element)) for element in data]


def everything(packed, split="train"):
    """Read the content of the shards in their order, with TensorFlow."""
    import tensorflow as tf

    folder, manifest = packed
    found = []
    for shard in manifest.splits[split].shards:
        for record in tf.data.TFRecordDataset(str(folder / split / shard.name)).as_numpy_iterator():
            feature = tf.train.Example.FromString(record).features.feature
            found.append((feature["image"].bytes_list.value[0], feature["label"].int64_list.value[0]))
    return found


PLACEMENTS = ["memory", "device", "streamed"]


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_an_epoch_holds_each_tile_once_but_for_the_remainder(packed, opened, placement):
    every = everything(packed)
    with opened(placement) as tiles:
        assert (tiles.placement, tiles.steps) == (placement, TILES // BATCH)
        epochs = [contents(tiles, tiles.shuffled(epoch)) for epoch in range(3)]
        assert tiles.shuffled(0).cardinality() == tiles.steps
    left_out = set()
    for batches in epochs:
        assert [len(batch) for batch in batches] == [BATCH] * (TILES // BATCH)
        seen = [tile for batch in batches for tile in batch]
        assert len(set(seen)) == len(seen)
        missing = set(every) - set(seen)
        assert len(missing) == TILES % BATCH
        left_out |= missing
    assert len(left_out) > 2 * (TILES % BATCH)
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_the_validation_sees_every_tile_once_in_the_shards_order(packed, opened, placement):
    with opened(placement, "val") as tiles:
        for _ in range(2):
            batches = contents(tiles, tiles.sequential())
            assert [len(batch) for batch in batches] == [16, 16, 3]
            assert [tile for batch in batches for tile in batch] == everything(packed, "val")


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_an_epoch_can_be_taken_up_again_at_any_batch(opened, placement):
    with opened(placement) as tiles:
        whole = contents(tiles, tiles.shuffled(2))
        for first_step in range(tiles.steps + 1):
            assert contents(tiles, tiles.shuffled(2, first_step)) == whole[first_step:]


def test_what_is_kept_has_one_order_wherever_it_is(opened):
    with (
        opened("memory") as memory,
        opened("device") as device,
        opened("streamed", options={"window_mebibytes": 99}) as streamed,
    ):
        assert memory.order_identity == device.order_identity == streamed.order_identity
        assert contents(memory, memory.shuffled(1)) == contents(device, device.shuffled(1))
        assert contents(memory, memory.shuffled(1)) == contents(streamed, streamed.shuffled(1))
    with opened("streamed") as streamed:
        assert streamed.order_identity != memory.order_identity


@pytest.mark.parametrize("shape", [(3, 3, 1), (4, 4, 2)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_images_keep_their_dtype_and_shape(tmp_path, shape, dtype):
    manifest = write_packed(tmp_path, tiles=(9, 1, 0), shape=shape, dtype=dtype, shards=2)
    every = everything((tmp_path, manifest))
    for placement in PLACEMENTS:
        options = DataOptions(placement=placement)
        with open_tiles(
            [tmp_path / "train"], "train", manifest, batch_size=4, seed=0, options=options, memory_mebibytes=1
        ) as tiles:
            for images, labels in taken(tiles, tiles.shuffled(0)):
                assert images.dtype == dtype
                assert images.shape == (4, *shape)
                assert labels.dtype == np.int64
            assert [tile for batch in contents(tiles, tiles.sequential()) for tile in batch] == every


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_an_empty_split_has_no_batches(opened, placement):
    with opened(placement, "test") as tiles:
        assert tiles.steps == 0
        assert list(tiles.sequential()) == list(tiles.shuffled(0)) == []


def test_fetch_works_within_a_compiled_step(opened):
    import tensorflow as tf

    with opened("device") as tiles:
        assert tiles.resident is not None
        step = tf.function(lambda element: tf.reduce_sum(tf.cast(tiles.fetch(element)[0], tf.int64)))
        sums = [int(step(element)) for element in tiles.shuffled(0)]
        assert sums == [int(images.astype(np.int64).sum()) for images, _ in taken(tiles, tiles.shuffled(0))]


DIGEST = """
import hashlib, json, sys
from pathlib import Path
from tilepipe.components.shared.contracts.manifest import read_manifest
from tilepipe.components.train.input.options import DataOptions
from tilepipe.components.train.input.tiles import open_tiles
import tensorflow as tf

folder, digests = Path(sys.argv[1]), []
tf.config.threading.set_inter_op_parallelism_threads(1)
manifest = read_manifest(folder / "manifest.json")
for placement in ("memory", "streamed"):
    options = DataOptions(placement=placement, window_mebibytes=3)
    with open_tiles(
        [folder / "train"], "train", manifest, batch_size=16, seed=7, options=options, memory_mebibytes=100
    ) as tiles:
        for images, labels in tiles.shuffled(1).prefetch(3):
            digests.append(hashlib.sha256(images.numpy().tobytes() + labels.numpy().tobytes()).hexdigest())
print(json.dumps(digests))
"""


def test_another_process_with_other_threads_gives_the_same_batches(packed, opened):
    command = [sys.executable, "-c", DIGEST, str(packed[0])]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    there = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    here = []
    for placement in ("memory", "streamed"):
        with opened(placement) as tiles:
            for images, labels in taken(tiles, tiles.shuffled(1)):
                here.append(hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest())
    assert json.loads(there) == here
    assert len(set(here)) == 2 * (TILES // BATCH)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "memory"),
        ({"gpu": True, "options": {"device_mebibytes": 1}}, "memory"),
        ({"memory_mebibytes": 5}, "streamed"),
        ({"options": {"cache_mebibytes": 5}}, "streamed"),
        ({"memory_mebibytes": 5, "gpu": True}, "streamed"),
    ],
)
def test_auto_goes_by_size(opened, given, expected):
    with opened("auto", **given) as tiles:
        assert tiles.placement == expected


def test_what_cannot_be_is_refused(opened, tmp_path):
    with pytest.raises(
        ParameterError, match=r"must fit into a third of `memory`, 5 MiB. Received: placement='memory' for 7 MiB"
    ):
        opened("memory", memory_mebibytes=5)
    with pytest.raises(ParameterError, match="Use placement='streamed' to keep nothing"):
        DataOptions.parse(placement="memory", cache_mebibytes=0)
    with pytest.raises(ParameterError, match="must be a local folder"):
        DataOptions.parse(shard_cache_folder="s3://bucket/x")
    with pytest.raises(SourceError, match="web servers list nothing"):
        opened(where=["https://example.org/train"])


def copied(packed, tmp_path):
    folder, manifest = packed
    shutil.copytree(folder / "train", tmp_path / "train")
    return [tmp_path / "train" / shard.name for shard in manifest.splits["train"].shards]


@pytest.mark.parametrize("as_text", [False, True])
def test_missing_and_truncated_shards_are_found_at_once(packed, opened, tmp_path, as_text):
    paths = copied(packed, tmp_path)
    where = [str(tmp_path / "train")] if as_text else [tmp_path / "train"]
    content = paths[2].read_bytes()
    paths[2].write_bytes(content[:-1])
    with pytest.raises(ArtifactError, match=rf"{paths[2].name} must have [\d,]+ bytes"):
        opened(where=where)
    paths[2].unlink()
    with pytest.raises(ArtifactError, match=rf"once\. Received: no file {paths[2].name}"):
        opened(where=where)
    (tmp_path / "again").mkdir()
    paths[2].write_bytes(content)
    (tmp_path / "again" / paths[2].name).write_bytes(content)
    where += [str(tmp_path / "again")] if as_text else [tmp_path / "again"]
    with pytest.raises(ArtifactError, match=rf"once\. Received: 2 files {paths[2].name}"):
        opened(where=where)


def test_a_kept_split_is_verified_while_it_is_read(packed, opened, tmp_path):
    paths = copied(packed, tmp_path)
    content = bytearray(paths[1].read_bytes())
    content[200] ^= 1  # a pixel
    paths[1].write_bytes(content)
    with pytest.raises(ArtifactError, match=rf"{paths[1].name} must have the checksum"):
        opened("memory", where=[tmp_path / "train"])


def test_a_shard_damaged_in_the_middle_of_an_epoch_is_reported_as_such(packed, opened, tmp_path):
    paths = copied(packed, tmp_path)
    with opened(where=[tmp_path / "train"]) as tiles:
        data = iter(tiles.shuffled(0))
        next(data)
        for path in paths:  # whichever comes next
            path.write_bytes(path.read_bytes()[:-1000])
        with pytest.raises(ArtifactError, match=r"must have [\d,]+ bytes. Received"), tiles.translate_errors():
            for _ in data:
                pass
    check_no_threads()


def test_records_that_are_no_such_tiles(packed, tmp_path):
    folder, manifest = packed
    options = DataOptions(placement="memory")
    for other in ({"height": 64}, {"dtype": "float32"}):
        with pytest.raises(ArtifactError, match=r"must hold 19 tiles of .*Received: other records"):
            open_tiles(
                [folder / "train"], "train", manifest.model_copy(update=other), batch_size=4, seed=0, options=options,
                memory_mebibytes=99,
            )  # fmt: skip


def check_no_threads():
    """Check that all reading has ended, or ends soon."""
    gc.collect()
    wait_until(lambda: not any(thread.name.startswith("tilepipe") for thread in threading.enumerate()), 10)


def test_a_stream_that_is_left_unfinished_ends_its_threads(opened):
    tiles = opened()
    for _ in tiles.shuffled(0).prefetch(1):
        break
    check_no_threads()
    held = iter(tiles.shuffled(0).prefetch(1))
    next(held)
    assert any(thread.name.startswith("tilepipe") for thread in threading.enumerate())
    tiles.close()
    check_no_threads()


@pytest.mark.parametrize("tiles", [400, 1200])
def test_memory_holds_two_windows_whatever_the_split(tmp_path, monkeypatch, tiles):
    monkeypatch.setattr(shard_tiles, "_PIECE_BYTES", 2**16)
    shape, window = (64, 64, 2), 2  # 6 or 19 MiB, in shards of a quarter of a mebibyte
    manifest = write_packed(tmp_path, tiles=(tiles, 0, 0), shape=shape, shards=tiles // 16)
    options = DataOptions(placement="streamed", window_mebibytes=window)
    with open_tiles(
        [tmp_path / "train"], "train", manifest, batch_size=4, seed=0, options=options, memory_mebibytes=1
    ) as streamed:
        first, second = streamed.shuffled(0), streamed.shuffled(1)
        list(first.take(2))  # what TensorFlow makes once
        tracemalloc.start()  # NumPy's arrays are in it
        for _ in second:
            pass
        peak = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
    assert window < peak < 2 * window + 1


@pytest.fixture
def in_s3(packed, minio_server, monkeypatch, request):
    """Address of the split in a bucket behind a proxy that counts; the bucket; and the proxy."""
    minio_server.use(monkeypatch)
    name = f"tiles-{abs(hash(request.node.name)) % 10**8}"
    bucket = minio_server.make_bucket(name)
    folder, manifest = packed
    for shard in manifest.splits["train"].shards:
        bucket.upload_file(str(folder / "train" / shard.name), f"packed/train/{shard.name}")
    with FaultyProxy(minio_server.endpoint, "reset", share=0.0) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
        yield f"s3://{name}/packed/train", bucket, proxy
    s3._open_store.cache_clear()


def test_s3_and_local_shards_give_the_same_batches(packed, opened, in_s3):
    uri, _, proxy = in_s3
    with opened(where=[uri], options={"shard_cache_mebibytes": 100}) as remote, opened() as local:
        for epoch in range(3):
            assert contents(remote, remote.shuffled(epoch)) == contents(local, local.shuffled(epoch))
        assert contents(remote, remote.sequential()) == contents(local, local.sequential())
    # A split that fits on the disk is downloaded once.
    assert sorted(proxy.gets) == [shard.name for shard in packed[1].splits["train"].shards]
    with opened("memory", where=[uri]) as remote, opened("memory") as local:
        assert contents(remote, remote.shuffled(0)) == contents(local, local.shuffled(0))


def held(folder):
    total = 0
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # gone since
            total += path.stat().st_size
    return total


def test_the_disk_holds_no_more_than_it_may(opened, in_s3, tmp_path):
    uri, _, proxy = in_s3
    folder, most = tmp_path / "cache", []
    with opened(where=[uri], options={"shard_cache_folder": str(folder)}) as tiles:
        for epoch in range(2):
            most += [held(folder) for _ in tiles.shuffled(epoch)]
    assert 0 < max(most) <= 3 * 2**20
    assert len(proxy.gets) > SHARDS


def test_the_next_window_comes_while_one_is_used(opened, in_s3):
    uri, _, proxy = in_s3
    with opened(where=[uri], options={"shard_cache_mebibytes": 100}) as tiles:
        data = iter(tiles.shuffled(0))
        next(data)  # of the first window of two shards
        wait_until(lambda: len(proxy.gets) == 4)
        check_stays(lambda: len(proxy.gets) == 4)  # and not the third window's


def test_a_later_start_does_not_read_earlier_windows(opened, in_s3):
    uri, _, proxy = in_s3
    with opened(where=[uri]) as tiles:
        assert len(contents(tiles, tiles.shuffled(0, tiles.steps - 1))) == 1
    assert len(proxy.gets) <= 2
    with opened(where=[uri]) as tiles:
        assert contents(tiles, tiles.shuffled(0, tiles.steps)) == []
    assert len(proxy.gets) <= 2


@pytest.mark.parametrize("change", ["truncated", "changed", "gone"])
def test_an_object_that_changes_during_the_training_is_reported_as_such(packed, opened, in_s3, change):
    uri, bucket, _ = in_s3
    message = {
        "truncated": r"s3://.* must have [\d,]+ bytes",
        "changed": "s3://.* must have the checksum",
        "gone": "exist",
    }
    with opened(where=[uri]) as tiles:
        data = iter(tiles.shuffled(0))
        next(data)
        for shard in packed[1].splits["train"].shards:
            key = f"packed/train/{shard.name}"
            bucket.Object(key).delete()
            if change != "gone":
                bucket.put_object(Key=key, Body=b"x" * (shard.bytes - (change == "truncated")))
        with pytest.raises((ArtifactError, SourceError), match=message[change]), tiles.translate_errors():
            for _ in data:
                pass


def test_a_server_that_goes_away_is_reported_as_such(opened, in_s3, monkeypatch):
    uri, _, proxy = in_s3
    monkeypatch.setattr(s3, "MAX_RETRIES", 1)
    monkeypatch.setattr(s3, "RETRY_TIMEOUT", timedelta(seconds=1))
    with opened(where=[uri]) as tiles:
        data = iter(tiles.shuffled(0))
        next(data)
        proxy.share = 1.0
        with pytest.raises(StorageError, match="must be reachable"), tiles.translate_errors():
            for _ in data:
                pass
    check_no_threads()


def test_a_cache_for_less_than_two_shards_is_refused_before_anything_is_read(opened, in_s3):
    uri, _, proxy = in_s3
    with pytest.raises(ParameterError, match=r"`shard_cache_mebibytes` must hold two shards.*Use 3 or more"):
        opened(where=[uri], options={"shard_cache_mebibytes": 2})
    assert proxy.gets == []


def test_temporary_files_go_with_the_tiles(opened, in_s3, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    # Room for all shards: none is removed to make room for another while the folder is looked at.
    tiles = opened(where=[in_s3[0]], options={"shard_cache_mebibytes": 100})
    data = iter(tiles.shuffled(0))
    next(data)
    assert list(tmp_path.glob("tilepipe-shards-*/*.tfrecord"))
    tiles.close()
    assert list(tmp_path.iterdir()) == []
    check_no_threads()
