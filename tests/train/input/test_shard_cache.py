import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from tests.support.packed import shard_of
from tilepipe.components.shared.errors import ArtifactError, SourceError, StorageError
from tilepipe.components.shared.storage import s3
from tilepipe.components.train.input.shard_cache import ShardCache, open_cache

SIZE = 1000


@pytest.fixture
def bucket(minio_server, monkeypatch, request):
    """Ten objects with their manifest entries; `gets` lists the downloads."""
    minio_server.use(monkeypatch)
    name = f"cache-{abs(hash(request.node.name) % 10**8)}"
    made = minio_server.make_bucket(name)
    shards = []
    for number in range(10):
        content = bytes([number]) * SIZE
        made.put_object(Key=f"shards/{number}", Body=content)
        shards.append(shard_of(str(number), content, tiles=1))
    return Bucket(made, f"s3://{name}/shards", shards, monkeypatch)


class Bucket:
    def __init__(self, bucket, uri, shards, monkeypatch):
        self.bucket, self.uri, self.shards, self.gets = bucket, uri, shards, []
        download = s3.download

        def counted(uri, file):
            self.gets.append(int(uri.rpartition("/")[2]))
            download(uri, file)

        monkeypatch.setattr(s3, "download", counted)

    def open(self, cache, number):
        return cache.open(f"{self.uri}/{number}", self.shards[number])

    def read(self, cache, number):
        with self.open(cache, number) as path:
            content = path.read_bytes()
        assert content == bytes([number]) * SIZE


def held(folder):
    total = 0
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # just moved to its place
            total += path.stat().st_size
    return total


def test_what_is_needed_again_is_not_downloaded_again(bucket, tmp_path):
    cache = ShardCache(tmp_path / "cache", 3 * SIZE)
    for number in (0, 1, 2, 0, 3, 0, 1):
        bucket.read(cache, number)
        assert held(tmp_path / "cache") <= 3 * SIZE
    # 3 evicted 1, the least recently used one; 1 then evicted 2.
    assert bucket.gets == [0, 1, 2, 3, 1]
    bucket.read(cache, 3)
    assert bucket.gets == [0, 1, 2, 3, 1]


def test_a_folder_that_was_left_is_used_again_once_verified(bucket, tmp_path):
    folder = tmp_path / "cache"
    cache = ShardCache(folder, 4 * SIZE)
    for number in range(4):
        bucket.read(cache, number)
    damaged, truncated = (folder / f"{bucket.shards[number].checksum}.tfrecord" for number in (0, 1))
    damaged.write_bytes(b"x" * SIZE)
    truncated.write_bytes(b"x")
    (folder / ".partial-abc.tfrecord").write_bytes(b"x" * 5 * SIZE)  # as a killed process leaves it
    (folder / "notes.txt").write_text("mine")
    bucket.gets.clear()
    again = ShardCache(folder, 4 * SIZE)
    for number in range(4):
        bucket.read(again, number)
    assert bucket.gets == [0, 1]
    assert sorted(path.suffix for path in folder.iterdir()) == [".tfrecord"] * 4 + [".txt"]


def test_a_folder_that_was_left_is_cut_to_the_limit(bucket, tmp_path):
    for number in range(4):
        bucket.read(ShardCache(tmp_path, 4 * SIZE), number)
    ShardCache(tmp_path, 2 * SIZE)
    assert held(tmp_path) == 2 * SIZE


def test_threads_share_one_download_and_stay_within_the_limit(bucket, tmp_path):
    cache = ShardCache(tmp_path, 2 * SIZE)
    too_much = []

    def read(number):
        bucket.read(cache, number % 5)
        with cache._changed:  # else one could be counted that goes while the next one comes
            if held(tmp_path) > 2 * SIZE:
                too_much.append(number)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(read, range(60)))
    assert not too_much

    bucket.gets.clear()
    together = threading.Barrier(4)

    def read_together(_):
        together.wait(10)
        bucket.read(cache, 9)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(read_together, range(4)))
    assert bucket.gets == [9]


def test_what_is_open_stays(bucket, tmp_path):
    cache = ShardCache(tmp_path, 2 * SIZE)
    with bucket.open(cache, 0) as path:
        for number in (1, 2, 3):
            bucket.read(cache, number)
        assert path.read_bytes() == bytes(SIZE)
    assert bucket.gets == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\0" * (SIZE - 1), r"s3://.*/0 must have 1,000 bytes. Received: 999"),
        (b"x" * SIZE, "s3://.*/0 must have the checksum"),
    ],
)
def test_an_object_that_changed_is_an_error_and_leaves_nothing(bucket, tmp_path, content, message):
    bucket.bucket.put_object(Key="shards/0", Body=content)
    cache = ShardCache(tmp_path, 2 * SIZE)
    with pytest.raises(ArtifactError, match=message):
        bucket.read(cache, 0)
    assert list(tmp_path.iterdir()) == []
    bucket.bucket.put_object(Key="shards/0", Body=bytes(SIZE))
    bucket.read(cache, 0)


def test_an_object_that_is_gone_and_a_server_that_is_away(bucket, tmp_path, monkeypatch):
    cache = ShardCache(tmp_path, 2 * SIZE)
    bucket.bucket.Object("shards/0").delete()
    with pytest.raises(SourceError, match=r"must exist to be read. Received: s3://.*/0"):
        bucket.read(cache, 0)
    monkeypatch.setattr(s3, "MAX_RETRIES", 0)
    monkeypatch.setattr(s3, "RETRY_TIMEOUT", timedelta(seconds=1))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    s3._open_store.cache_clear()
    with pytest.raises(StorageError, match="must be reachable"):
        bucket.read(cache, 1)
    s3._open_store.cache_clear()
    assert list(tmp_path.iterdir()) == []


def test_a_temporary_folder_is_shared_and_goes_with_the_last_user(bucket, tmp_path):
    with open_cache("", 2 * SIZE) as first:
        with open_cache("", 2 * SIZE) as second:
            assert first is second
            bucket.read(second, 0)
        assert held(first.folder) == SIZE
    assert not first.folder.exists()
    with open_cache(str(tmp_path / "mine"), 2 * SIZE) as mine:
        bucket.read(mine, 0)
    assert held(tmp_path / "mine") == SIZE
