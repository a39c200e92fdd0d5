import logging
import os
import threading
import time
import uuid

import numpy as np
import pytest

from tests.support.s3_stores import STORES
from tests.support.waiting import wait_until
from tilepipe.components.shared.errors import ParameterError, StorageError
from tilepipe.components.shared.storage import s3
from tilepipe.components.shared.tiles.cache import cache as module
from tilepipe.components.shared.tiles.cache import segments
from tilepipe.components.shared.tiles.cache.cache import FOLDER, TileCache


@pytest.fixture(params=["folder", *STORES])
def address(request, tmp_path, monkeypatch):
    """Address of an empty cache: a folder, and a prefix in a real bucket."""
    if request.param == "folder":
        return str(tmp_path / "cache")
    server = request.getfixturevalue("s3_servers")(request.param)
    server.use(monkeypatch)
    return f"s3://{server.make_bucket(f'cache-{uuid.uuid4().hex[:8]}').name}/kept"


@pytest.fixture
def folder(tmp_path):
    """Address of a cache on disk."""
    return tmp_path / "cache"


def content(number, size=1000):
    return np.random.default_rng(number).bytes(size)


def key(cache, number):
    return cache.key(f"s3://tiles/{number}.tif", None, None, 1000, None)


def fill(address, numbers, **settings):
    with TileCache(str(address), "2026-01-01", **settings) as cache:
        for number in numbers:
            cache.put(key(cache, number), content(number))


def held(address, numbers):
    """Return the numbers whose right content the cache has."""
    with TileCache(str(address), "2026-01-01") as cache:
        found = {number: cache.get(key(cache, number)) for number in numbers}
    assert all(each == content(number) for number, each in found.items() if each is not None)
    return {number for number, each in found.items() if each is not None}


def segment_files(address):
    return sorted((address / FOLDER).glob("*.segment"))


def test_what_was_put_is_there_in_the_next_run(address, caplog):
    caplog.set_level(logging.INFO)
    fill(address, range(300))
    caplog.clear()
    assert held(address, range(310)) == set(range(300))
    assert f"300 of 310 reads of tiles came from the cache at {address}, 0 fetched tiles" in caplog.text


def test_membership_needs_no_read(folder):
    with TileCache(str(folder), "2026-01-01") as cache:
        assert not cache.holds(key(cache, 1))
        cache.put(key(cache, 1), content(1))
        assert cache.holds(key(cache, 1))
    with TileCache(str(folder), "2026-01-01") as cache:
        assert cache.holds(key(cache, 1))
        assert not cache.holds(key(cache, 2))
        assert "0 of 0 reads" in cache.summary()


def test_a_cache_grows_by_what_is_new(address):
    fill(address, range(100))
    fill(address, range(100, 150))
    assert held(address, range(200)) == set(range(150))


def test_what_was_just_put_is_there_before_it_is_written(folder):
    with TileCache(str(folder), "") as cache:
        cache.put(key(cache, 1), content(1))
        assert not segment_files(folder)
        assert cache.get(key(cache, 1)) == content(1)


def test_few_large_files(folder, monkeypatch):
    monkeypatch.setattr(module, "SEGMENT_BYTES", 50_000)
    fill(folder, range(400))
    sizes = [path.stat().st_size for path in segment_files(folder)]
    assert len(sizes) == 8
    assert all(50_000 <= size < 60_000 for size in sizes)
    assert held(folder, range(400)) == set(range(400))


def test_a_slow_source_is_written_after_some_time(folder):
    with TileCache(str(folder), "", flush_seconds=0.1) as cache:
        cache.put(key(cache, 1), content(1))
        wait_until(lambda: segment_files(folder))
        assert len(segment_files(folder)) == 1


@pytest.mark.parametrize("order", [range(600), np.random.default_rng(0).permutation(600)], ids=["same", "any"])
def test_reads_in_any_order_and_across_blocks(address, monkeypatch, order):
    """Blocks are smaller than some contents here, and few are held."""
    monkeypatch.setattr(segments, "_BLOCK_BYTES", 5_000)
    monkeypatch.setattr(segments, "_HELD_BLOCKS", 3)
    sizes = {number: 1 + number * 37 % 12_000 for number in range(600)}
    with TileCache(address, "") as cache:
        for number, size in sizes.items():
            cache.put(key(cache, number), content(number, size))
    with TileCache(address, "") as cache:
        assert all(cache.get(key(cache, number)) == content(number, sizes[number]) for number in order)


def test_a_resumed_run_reads_few_large_pieces(folder, monkeypatch):
    fill(folder, range(500))
    monkeypatch.setattr(segments, "_BLOCK_BYTES", 50_000)
    with TileCache(str(folder), "2026-01-01") as cache:
        reads = []
        read = cache._place.read
        cache._place.read = lambda *given: reads.append(given) or read(*given)
        for number in range(500):
            assert cache.get(key(cache, number)) == content(number)
    assert len(reads) == 20  # in each of ten blocks of 50, first one tile and then the block


def test_many_threads(address, monkeypatch):
    monkeypatch.setattr(module, "SEGMENT_BYTES", 20_000)
    wrong = []

    def work(cache, worker):
        for number in range(worker % 4, 400, 4):  # each tile by two threads
            found = cache.get(key(cache, number))
            wrong.extend([number] if found not in {None, content(number)} else [])
            cache.put(key(cache, number), content(number))

    for _ in range(2):
        with TileCache(address, "2026-01-01") as cache:
            threads = [threading.Thread(target=work, args=(cache, worker)) for worker in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    assert not wrong
    assert held(address, range(400)) == set(range(400))


def test_two_runs_at_once(address):
    with TileCache(address, "2026-01-01") as one, TileCache(address, "2026-01-01") as other:
        for number in range(100):
            one.put(key(one, number), content(number))
            other.put(key(other, number + 50), content(number + 50))
    assert held(address, range(150)) == set(range(150))


@pytest.mark.parametrize(
    "changed",
    [
        {"uri": "s3://tiles/b.tif"},
        {"member": "b.tif"},
        {"offset": 7},
        {"size": 1001},
        {"checksum": "d50110" + 32 * "1"},
        {"checksum": None},
    ],
)
def test_another_tile_or_version_has_another_key(folder, changed):
    given = {"uri": "s3://tiles/a", "member": "a.tif", "offset": 0, "size": 1000, "checksum": "d50110" + 32 * "0"}
    with TileCache(str(folder), "") as cache:
        assert cache.key(**given) == cache.key(**given)
        assert cache.key(**given) != cache.key(**{**given, **changed})


def test_a_snapshot_counts_where_nothing_else_identifies_a_version(folder):
    with TileCache(str(folder), "2026-01-01") as old, TileCache(str(folder), "2026-02-01") as new:
        for size in (None, 1000):
            assert old.key("s3://t/a", None, None, size, None) != new.key("s3://t/a", None, None, size, None)
        checksum = "d50110" + 32 * "0"
        assert old.key("s3://t/a", None, None, 9, checksum) == new.key("s3://t/a", None, None, 9, checksum)


def damage_content(path):
    data = bytearray(path.read_bytes())
    data[1500] ^= 1
    path.write_bytes(data)


def damage_index(path):
    data = bytearray(path.read_bytes())
    data[-30] ^= 1
    path.write_bytes(data)


def damage_count(path):
    data = bytearray(path.read_bytes())
    data[-8:-4] = b"\xff\xff\xff\xff"
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "lost"),
    [
        (damage_content, {1}),
        (damage_index, {0, 1, 2, 3}),
        (damage_count, {0, 1, 2, 3}),
        (lambda path: os.truncate(path, 3500), {0, 1, 2, 3}),
        (lambda path: os.truncate(path, 5), {0, 1, 2, 3}),
        (lambda path: os.truncate(path, 0), {0, 1, 2, 3}),
    ],
    ids=["content", "index", "count", "cut", "shorter", "empty"],
)
def test_damaged_content_is_missing_and_reported_once(folder, caplog, damage, lost):
    fill(folder, range(4))
    (damaged,) = segment_files(folder)
    fill(folder, range(4, 8))
    damage(damaged)
    caplog.clear()
    assert held(folder, range(8)) == set(range(8)) - lost
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        f"the cache is damaged, so the lost tiles are fetched again: delete {damaged.name}"
    ]
    fill(folder, lost)
    assert held(folder, range(8)) == set(range(8))


def test_a_segment_that_is_cut_short_or_goes_away_while_it_is_open(folder, caplog):
    fill(folder, range(4))
    with TileCache(str(folder), "2026-01-01") as cache:
        os.truncate(segment_files(folder)[0], 1500)
        assert [cache.get(key(cache, number)) for number in (0, 1, 2)] == [content(0), None, None]
        segment_files(folder)[0].unlink()
        assert cache.get(key(cache, 3)) is None
    assert caplog.text.count("damaged") == 1


def test_an_index_that_points_out_of_its_file_is_damage(folder, caplog):
    fill(folder, [1])
    (segment,) = segment_files(folder)
    rows = np.zeros(1, segments.ROW)
    rows["offset"], rows["length"] = 2**32 - 1, 2**32 - 1
    index = rows.tobytes()
    trailer = segments._TRAILER.pack(b"TILEPKC1", 1, segments.google_crc32c.value(index))
    segment.write_bytes(content(1) + index + trailer)
    assert held(folder, [1]) == set()
    assert "damaged" in caplog.text


def test_links_are_not_followed(folder, tmp_path):
    fill(folder, [1])
    (segment,) = segment_files(folder)
    segment.rename(tmp_path / "elsewhere")
    segment.symlink_to(tmp_path / "elsewhere")
    assert held(folder, [1]) == set()
    with TileCache(str(folder), "") as cache, pytest.raises(StorageError):
        cache._place.read(segment.name, 0, 10)


def test_a_linked_folder_is_refused(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    folder.mkdir()
    (folder / FOLDER).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="must be writable"):
        TileCache(str(folder), "")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_other_files_are_left_alone(folder):
    fill(folder, [1])
    for name in ("notes.txt", f"{'0' * 31}.segment", f"{'0' * 32}.segment.txt"):
        (folder / FOLDER / name).write_bytes(b"something else")
    (folder / FOLDER / f"{'1' * 32}.segment").mkdir()
    os.mkfifo(folder / FOLDER / f"{'2' * 32}.segment")
    assert held(folder, [1]) == {1}
    assert (folder / FOLDER / "notes.txt").exists()


def test_what_killed_writers_left_is_swept_when_it_is_old(folder):
    fill(folder, [1])
    old, new = folder / FOLDER / ".partial-old", folder / FOLDER / ".partial-new"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, time.time() - 4000))
    assert held(folder, [1]) == {1}
    assert (old.exists(), new.exists()) == (False, True)


@pytest.mark.parametrize("address", ["https://example.com/cache", "ftp://x/y", "s3://B/x", "s3://bucket/../x"])
def test_an_address_that_cannot_be_a_cache(address):
    with pytest.raises(ParameterError, match="must be a local folder or s3://"):
        TileCache(address, "")


def test_an_unwritable_place_is_reported_at_once(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match=r"cache must be writable.*options of pack"):
        TileCache(str(tmp_path / "file"), "")
    with pytest.raises(StorageError, match="cache must be writable"):
        TileCache("/proc/nowhere", "")


def test_a_missing_or_forbidden_bucket_is_reported_at_once(minio_server, monkeypatch):
    minio_server.use(monkeypatch)
    with pytest.raises(StorageError, match=r"cache must be writable.*NoSuchBucket"):
        TileCache("s3://no-such-bucket-here/x", "")
    minio_server.make_bucket("cache-refused")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-wrong-secret")
    with pytest.raises(StorageError, match="cache must be writable") as caught:
        TileCache("s3://cache-refused/x", "")
    assert "a-wrong-secret" not in str(caught.value)


def test_a_full_disk_is_reported_once_and_only_ends_the_writing(folder, monkeypatch, caplog):
    fill(folder, [1])
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(module, "SEGMENT_BYTES", 5_000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with TileCache(str(folder), "2026-01-01") as cache:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, before[1]))  # the kernel refuses longer files: EFBIG
        try:
            for number in range(100, 200):
                cache.put(key(cache, number), content(number))
            cache.close()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    with TileCache(str(folder), "2026-01-01") as cache:
        assert cache.get(key(cache, 1)) == content(1)
    assert caplog.text.count("the cache cannot be written any more") == 1
    assert [path.name for path in (folder / FOLDER).iterdir() if path.name.startswith(".partial")] == []


def test_a_store_that_goes_away_is_asked_once(minio_server, monkeypatch, caplog):
    minio_server.use(monkeypatch)
    address = f"s3://{minio_server.make_bucket('cache-away').name}"
    fill(address, [1, 2])
    with TileCache(address, "2026-01-01") as cache:
        monkeypatch.setattr(s3, "MAX_RETRIES", 0)
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        assert cache.get(key(cache, 1)) is None
        minio_server.use(monkeypatch)
        assert cache.get(key(cache, 2)) is None
    assert caplog.text.count("cannot be read any more") == 1
