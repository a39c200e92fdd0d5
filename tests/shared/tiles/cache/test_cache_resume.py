"""A packing that is killed or repeated: the objects that are requested again from a real server."""

import contextlib
import http.client
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.pack.conftest import outputs, random_pixels, write_picture
from tests.support.waiting import wait_until, wait_until_unchanged
from tilepipe.components.pack.config import PackConfig
from tilepipe.components.pack.pack import pack
from tilepipe.components.shared.tiles.cache import cache as module
from tilepipe.components.shared.tiles.cache.cache import TileCache

ROOT = Path(__file__).parents[3]
TILES = 160
SCRIPT = """
import sys
from pathlib import Path
from tilepipe.components.shared.tiles.cache import cache
from tilepipe.components.pack.config import PackConfig
from tilepipe.components.pack.pack import PackOutputs, pack

cache.SEGMENT_BYTES = 20_000  # some twenty tiles
tiles, address, out, part, parts = sys.argv[1:]
options = {"cache": address, "readers": 4}
config = PackConfig.parse(part=int(part), parts=int(parts), options=options)
shards = {split: Path(out, split) for split in ("train", "val", "test")}
pack(config, Path(tiles), PackOutputs(shards, *(Path(out, name) for name in ("part.json", "contents", "quarantine"))))
"""


class Counting(ThreadingHTTPServer):
    """Proxy in front of an S3 server that records which tiles were read."""

    daemon_threads = True

    def __init__(self, endpoint):
        self.behind = urlsplit(endpoint).netloc
        self.reads, self.delay_seconds = [], 0.0
        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, *_):
        """Ignore the connection errors of a killed client."""

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"

    def take(self):
        """Return the names of the tiles that were read since the last call."""
        taken, self.reads = self.reads, []
        return sorted(taken)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def forward(self):
        path = urlsplit(self.path).path
        if self.command == "GET" and path.endswith(".png"):
            time.sleep(self.server.delay_seconds)
            self.server.reads.append(Path(path).stem)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with contextlib.closing(http.client.HTTPConnection(self.server.behind, timeout=30)) as connection:
            connection.request(self.command, self.path, body, dict(self.headers))  # Host too: it is signed
            answer = connection.getresponse()
            content = answer.read()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {"transfer-encoding", "content-length", "connection"}:
                self.send_header(name, value)
        self.send_header("Content-Length", answer.getheader("Content-Length") or str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_HEAD = do_POST = forward

    def log_message(self, *_):
        pass


@pytest.fixture
def counting(minio_server, monkeypatch):
    minio_server.use(monkeypatch)
    with Counting(minio_server.endpoint) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.address)
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def bucket(minio_server):
    return minio_server.make_bucket(f"tiles-{uuid.uuid4().hex[:8]}")


@pytest.fixture(params=["folder", "bucket"])
def address(request, tmp_path, bucket):
    return str(tmp_path / "cache") if request.param == "folder" else f"s3://{bucket.name}/cache"


@pytest.fixture
def upload(bucket, table):
    """Function that puts tiles with the given numbers into the bucket and the table."""

    def uploaded(numbers, *, seed=0):
        def one(number):
            picture = random_pixels(number + seed, (16, 16, 3), "uint8", 255)
            path = write_picture(table.folder / f"{number}.png", picture)
            bucket.put_object(Key=f"tiles/{path.name}", Body=path.read_bytes())
            return path

        table.folder.mkdir(exist_ok=True)
        with ThreadPoolExecutor(4) as pool:
            for number, path in zip(numbers, pool.map(one, numbers), strict=True):
                uri = f"s3://{bucket.name}/tiles/{path.name}"
                table.rows = [row for row in table.rows if row["uri"] != uri]
                label, split = "ab"[number % 2], ("train", "train", "val", "test")[number // 2 % 4]
                table.add(f"tile-{number}", uri, label, split, bytes=path.stat().st_size)

    return uploaded


def start(tiles, address, out, part=0, parts=1):
    """Function that packs in a process of its own."""
    command = [sys.executable, "-W", "error", "-c", SCRIPT, str(tiles), address, str(out), str(part), str(parts)]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Function that packs in this process."""
    monkeypatch.setattr(module, "SEGMENT_BYTES", 20_000)

    def packed(tiles, address, out="out", **options):
        config = PackConfig.parse(options={"cache": address, "readers": 4, **options})
        return pack(config, tiles, outputs(tmp_path / out))

    return packed


def kept(address, table, snapshot=""):
    with TileCache(address, snapshot) as cache:
        found = {
            Path(row["uri"]).stem: cache.get(cache.key(row["uri"], None, None, row["bytes"], row.get("checksum")))
            for row in table.rows
        }
    return {name for name, content in found.items() if content}


def names(numbers):
    return sorted(map(str, numbers))


def test_a_killed_packing_fetches_only_what_is_missing(counting, upload, table, address, run, tmp_path):
    upload(range(TILES))
    tiles = table.write()
    counting.delay_seconds = 0.01  # so that there is time to kill it
    first = start(tiles, address, tmp_path / "out")
    wait_until(lambda: len(counting.reads) >= TILES // 2 or first.poll() is not None, 60, pause_seconds=0.005)
    assert first.poll() is None
    first.kill()
    first.communicate()
    assert not (tmp_path / "out" / "train").exists()
    wait_until_unchanged(lambda: len(counting.reads))  # requests of the killed process may still be in flight
    fetched = counting.take()
    there = kept(address, table)
    assert len(fetched) - 60 <= len(there) < TILES  # at most two segments and the tiles in flight are lost
    run(tiles, address)
    assert counting.take() == sorted(set(names(range(TILES))) - there)
    run(tiles, address, "again")
    assert counting.take() == []
    for path in (tmp_path / "out").glob("[!.]*/*.tfrecord"):
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(tmp_path / "out")).read_bytes()


def test_a_grown_source_with_changes(counting, upload, table, bucket, run, tmp_path):
    address = f"s3://{bucket.name}/cache"
    upload(range(40))
    run(table.write(), address)
    assert counting.take() == names(range(40))
    upload(range(40, 60))
    run(table.write(), address)
    assert counting.take() == names(range(40, 60))
    upload([3], seed=1000)
    table.rows[-1]["checksum"] = "d50110" + bucket.Object("tiles/3.png").e_tag.strip('"')
    run(table.write(), address)
    assert counting.take() == ["3"]
    run(table.write(snapshot="2026-02-01"), address)
    assert counting.take() == sorted(set(names(range(60))) - {"3"})  # the one whose checksum is unchanged


def test_two_workers_share_a_cache(counting, upload, table, run, tmp_path):
    upload(range(80))
    tiles, address = table.write(), str(tmp_path / "cache")
    for process in [start(tiles, address, tmp_path / f"part-{part}", part, 2) for part in range(2)]:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
    assert set(counting.take()) == kept(address, table) == set(names(range(80)))
    run(tiles, address)
    assert counting.take() == []


def test_a_repaired_tile_is_read_again(counting, upload, table, bucket, run, tmp_path):
    """Neither its size nor a checksum shows that it has changed."""
    upload(range(10))
    tiles, address = table.write(), str(tmp_path / "cache")
    original = bucket.Object("tiles/4.png").get()["Body"].read()
    bucket.put_object(Key="tiles/4.png", Body=bytes(len(original)))
    assert sum(run(tiles, address, max_quarantine_percent=10).tiles.values()) == 9
    assert kept(address, table) == set(names(range(10))) - {"4"}
    bucket.put_object(Key="tiles/4.png", Body=original)
    counting.take()
    assert sum(run(tiles, address).tiles.values()) == 10
    assert set(counting.take()) == {"4"}


def test_an_unusable_cached_tile_is_fetched_again(counting, upload, table, run, tmp_path):
    upload(range(10))
    tiles, address = table.write(), str(tmp_path / "cache")
    row = table.rows[4]
    with TileCache(address, "") as cache:
        cache.put(cache.key(row["uri"], None, None, row["bytes"], None), bytes(row["bytes"]))
    assert sum(run(tiles, address).tiles.values()) == 10
    assert "4" in counting.take()


def test_a_file_for_each_band(counting, bucket, table, run, tmp_path):
    """Each is cached separately, and only the selected bands are fetched."""
    for number in range(8):
        uris = []
        for band in range(3):
            path = write_picture(table.folder / f"{number}-{band}.png", random_pixels(number, (8, 8, 1), "uint8", 255))
            bucket.put_object(Key=f"tiles/{path.name}", Body=path.read_bytes())
            uris.append(f"s3://{bucket.name}/tiles/{path.name}")
        table.add(f"tile-{number}", uris[0], "ab"[number % 2], ("train", "val")[number // 2 % 2], band_uris=uris)
    tiles, address = table.write(bands=("r", "g", "b"), bands_stated_by="user"), str(tmp_path / "cache")
    run(tiles, address)
    assert counting.take() == sorted(f"{number}-{band}" for number in range(8) for band in range(3))
    run(tiles, address)
    assert counting.take() == []


def test_files_of_this_machine_are_not_kept(table, run, tmp_path):
    for number in range(4):
        picture = random_pixels(number, (8, 8, 3), "uint8", 255)
        table.add(f"tile-{number}", write_picture(table.folder / f"{number}.png", picture), "ab"[number % 2])
    run(table.write(), str(tmp_path / "cache"))
    assert [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()] == ["README.txt"]
