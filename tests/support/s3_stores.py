"""S3 servers of several makers on this machine: the fixture `s3_server`, which runs a test once per server.

versitygw is built with Go on first use, as MinIO is. SeaweedFS takes far longer to build, so it takes part where its
program is at hand: the file that `WEED_BINARY` names, or `weed` on the PATH. If `TILEPIPE_TEST_S3_ENDPOINT` names a
server, it is the only one.
"""

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.go_binary import go_binary
from tests.support.minio_server import minio_server
from tests.support.s3_server import S3Server
from tests.support.servers import free_ports, running

__all__ = ["STORES", "minio_server", "s3_server", "s3_servers"]

VERSITYGW = "github.com/versity/versitygw/cmd/versitygw"
VERSITYGW_VERSION = "v1.8.0"

_WEED = os.environ.get("WEED_BINARY") or shutil.which("weed")
_OTHERS = ("versitygw", "seaweedfs") if _WEED else ("versitygw",)
STORES = ("named",) if os.environ.get("TILEPIPE_TEST_S3_ENDPOINT") else ("minio", *_OTHERS)
"""Parameters of tests that run with every store."""

_KEYS = ("tilepipe-test", "a-secret-of-the-test")
# versitygw ends only after its clients have closed their connections, unless it is killed.
_PROCESS: dict[str, Any] = {"start_new_session": True, "stop": subprocess.Popen.kill}


@pytest.fixture(scope="session")
def s3_servers(request, tmp_path_factory):
    """Function that returns the server of one of `STORES`, started on its first use for the whole session."""
    started = {}
    with contextlib.ExitStack() as running:

        def server(store: str) -> S3Server:
            if store not in started:
                if store in {"minio", "named"}:
                    started[store] = request.getfixturevalue("minio_server")
                else:
                    start = {"versitygw": versitygw, "seaweedfs": seaweedfs}[store]
                    started[store] = running.enter_context(start(tmp_path_factory.mktemp(store)))
            return started[store]

        yield server


@pytest.fixture(params=STORES)
def s3_server(request, s3_servers):
    """A real S3 server; each test runs with every store."""
    return s3_servers(request.param)


@contextlib.contextmanager
def versitygw(folder: Path) -> Iterator[S3Server]:
    """Start versitygw with its data in a folder; the file system must support extended attributes."""
    binary = go_binary("versitygw", "VERSITYGW_BINARY", VERSITYGW, VERSITYGW_VERSION)
    (port,) = free_ports(1)
    server = S3Server(f"http://127.0.0.1:{port}", *_KEYS)
    for name in ("data", "versions"):
        (folder / name).mkdir()
    command = [binary, "--port", f"127.0.0.1:{port}", "--access", server.access_key, "--secret", server.secret_key]
    command += ["--region", "us-east-1", "--health", "/health", "--keep-alive", "--quiet"]
    command += ["posix", "--versioning-dir", str(folder / "versions"), str(folder / "data")]
    with running(command, f"{server.endpoint}/health", folder, "versitygw", **_PROCESS):
        yield server


@contextlib.contextmanager
def seaweedfs(folder: Path) -> Iterator[S3Server]:
    """Start SeaweedFS as Kubeflow Pipelines does: one process with master, volume server, filer and S3."""
    if not _WEED:
        pytest.skip("SeaweedFS is absent: set WEED_BINARY, or put weed on the PATH")
    names = ("master", "volume", "filer", "s3")
    ports = free_ports(2 * len(names))
    server = S3Server(f"http://127.0.0.1:{ports[6]}", *_KEYS)
    identity = {
        "name": "tests",
        "credentials": [{"accessKey": server.access_key, "secretKey": server.secret_key}],
        "actions": ["Admin"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    (folder / "data").mkdir()
    command = [_WEED, "server", f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"]
    for number, name in enumerate(names):
        command += [f"-{name}.port={ports[2 * number]}", f"-{name}.port.grpc={ports[2 * number + 1]}"]
    # Each bucket takes several volumes; with the defaults two buckets take all of them, and a third accepts nothing.
    command += ["-master.volumePreallocate=false", "-master.volumeSizeLimitMB=64", "-volume.max=500"]
    command += [f"-s3.config={folder / 's3.json'}"]
    with running(command, f"{server.endpoint}/status", folder, "SeaweedFS", **_PROCESS):
        yield server
