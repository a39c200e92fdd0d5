"""Baselines for packing from a bucket: clients that fetch and discard, readers, and loops of a notebook."""

import asyncio
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote, urlsplit

import pycurl

from tests.bench.bucket import BUCKET
from tests.support.minio_server import S3Server
from tilepipe.components.shared.storage.object_server import ObjectServer
from tilepipe.components.shared.tiles.decode import decode

Fetch = Callable[[str], object]
Run = Callable[[Sequence[str]], object]

OWN = "own"
"""The client that packing itself uses, with one request at a time: shown, but not used as a baseline."""
_THREADS = (4, 8, 16, 32)
_READ_ROUNDS = 5
_CALIBRATIONS = 2


def clients(server: S3Server) -> dict[str, dict[str, Run]]:
    """Ways to GET and discard objects: each library and our own client, with each number of threads or tasks."""
    import boto3
    import obstore
    from botocore.config import Config
    from minio import Minio
    from obstore.store import S3Store

    store = S3Store(
        BUCKET,
        endpoint=server.endpoint,
        region="us-east-1",
        access_key_id=server.access_key,
        secret_access_key=server.secret_key,
        virtual_hosted_style_request=False,
        client_options={"allow_http": True, "pool_max_idle_per_host": "64"},
    )
    s3 = boto3.client("s3", endpoint_url=server.endpoint, config=Config(max_pool_connections=max(_THREADS)))
    minio = Minio(
        urlsplit(server.endpoint).netloc,
        server.access_key,
        server.secret_key,
        secure=False,
        region="us-east-1",
    )

    def with_obstore(key: str) -> None:
        obstore.get(store, key).bytes()

    def with_boto3(key: str) -> None:
        s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def with_minio(key: str) -> None:
        answer = minio.get_object(BUCKET, key)
        try:
            answer.read()
        finally:
            answer.close()
            answer.release_conn()

    own = ObjectServer.at(server.endpoint, "us-east-1", server.access_key, server.secret_key)

    def ahead(key: str) -> None:
        answer = own.ask(BUCKET, key) if own else None
        if answer is None or answer.read() is None:
            raise ConnectionError(key)

    async def awaited(key: str) -> None:
        await (await obstore.get_async(store, key)).bytes_async()

    tasks = {f"{count} tasks": _tasks(awaited, count) for count in _THREADS}
    return {
        "obstore": _threads(with_obstore) | tasks,
        "minio": _threads(with_minio),
        "boto3": _threads(with_boto3),
        "curl": curl_clients(server),
        OWN: _threads(ahead),
    }


def curl_clients(server: S3Server) -> dict[str, Run]:
    """GET and discard objects with libcurl, with each number of threads."""
    handles = threading.local()

    def with_curl(key: str) -> None:
        if not hasattr(handles, "curl"):
            handles.curl = _curl(server)
        handles.curl.setopt(pycurl.URL, f"{server.endpoint}/{BUCKET}/{quote(key)}")
        pieces = list[bytes]()
        handles.curl.setopt(pycurl.WRITEFUNCTION, pieces.append)
        handles.curl.perform()
        b"".join(pieces)

    return _threads(with_curl)


def _curl(server: S3Server) -> "pycurl.Curl":
    """Fetch with libcurl, which signs the requests and keeps its connection."""
    curl = pycurl.Curl()
    curl.setopt(pycurl.AWS_SIGV4, "aws:amz:us-east-1:s3")
    curl.setopt(pycurl.USERPWD, f"{server.access_key}:{server.secret_key}")
    curl.setopt(pycurl.BUFFERSIZE, 512 * 1024)
    curl.setopt(pycurl.FAILONERROR, True)
    curl.setopt(pycurl.NOSIGNAL, True)
    if os.environ.get("AWS_CA_BUNDLE"):
        curl.setopt(pycurl.CAINFO, os.environ["AWS_CA_BUNDLE"])
    return curl


def fastest(ways: dict[str, Run], keys: Sequence[str]) -> str:
    """Find the fastest way to fetch the objects, by the better of two passes, since other work may slow one down."""
    best = dict.fromkeys(ways, float("inf"))
    for _, name in itertools.product(range(_CALIBRATIONS), ways):
        started = time.perf_counter()
        ways[name](keys)
        best[name] = min(best[name], time.perf_counter() - started)
    return min(best, key=best.__getitem__)


def vsis3_loop(server: S3Server) -> Run:
    """Read with `rasterio.open` from each object's address, one after the other, as the published EuroSAT pipeline."""
    import rasterio

    settings = {"AWS_S3_ENDPOINT": urlsplit(server.endpoint).netloc, "AWS_HTTPS": "NO", "AWS_VIRTUAL_HOSTING": "FALSE"}

    def run(keys: Sequence[str]) -> None:
        os.environ.update(settings)
        for key in keys:
            with rasterio.open(f"/vsis3/{BUCKET}/{key}") as dataset:
                dataset.read()

    return run


def boto3_loop(server: S3Server) -> Run:
    """Read with boto3's GET and rasterio from memory, one after the other.

    One `rasterio.Env` is used; otherwise rasterio would create a boto3 session for each tile and be six times slower.
    """
    import boto3
    import rasterio

    s3 = boto3.client("s3", endpoint_url=server.endpoint)

    def run(keys: Sequence[str]) -> None:
        with rasterio.Env():
            for key in keys:
                _with_rasterio(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())

    return run


def reader_rates(files: Sequence[bytes]) -> dict[str, float]:
    """Measure the tiles per second that each reader decodes on one core, from memory."""
    import rasterio

    readers = {"pack": decode, "tifffile": _with_tifffile, "rasterio": _with_rasterio}
    best = dict.fromkeys(readers, 0.0)
    with rasterio.Env():
        for _, (name, read) in itertools.product(range(_READ_ROUNDS), readers.items()):
            started = time.perf_counter()
            for data in files:
                read(data)
            best[name] = max(best[name], len(files) / (time.perf_counter() - started))
    return best


def _with_tifffile(data: bytes) -> object:
    import io

    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        return tiff.pages.first.asarray(maxworkers=1)


def _with_rasterio(data: bytes) -> object:
    from rasterio.io import MemoryFile

    with MemoryFile(data) as memory, memory.open() as dataset:
        return dataset.read()


def _threads(fetch: Fetch) -> dict[str, Run]:
    def runner(count: int) -> Run:
        def run(keys: Sequence[str]) -> None:
            with ThreadPoolExecutor(count) as pool:
                for _ in pool.map(fetch, keys):
                    pass

        return run

    return {f"{count} threads": runner(count) for count in _THREADS}


def _tasks(fetch: Callable[[str], "asyncio.Future[None]"], count: int) -> Run:
    async def work(keys: Iterable[str]) -> None:
        for key in keys:
            await fetch(key)

    async def every(keys: Sequence[str]) -> None:
        waiting = iter(keys)
        await asyncio.gather(*(work(waiting) for _ in range(count)))

    return lambda keys: asyncio.run(every(keys))


def processor_seconds() -> float:
    """Return the processor time of this process on all processors."""
    used = os.times()
    return used.user + used.system
