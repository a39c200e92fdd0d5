"""A real S3 server for tests: the fixture `minio_server`.

It uses the first of these: the server that `TILEPIPE_TEST_S3_ENDPOINT` names (with the credentials in
`AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`); the binary that `MINIO_BINARY` names; `minio` on the PATH; a binary
built before; a binary built now with Go. Without any, the test is skipped with the reason.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.go_binary import go_binary
from tests.support.s3_server import S3Server
from tests.support.servers import free_ports, running

__all__ = ["S3Server", "minio_server", "own_server"]

# The newest version on Go's module proxy; its authors no longer publish binaries.
MODULE = "github.com/minio/minio"
VERSION = "v0.0.0-20260212201848-7aac2a2c5b7c"


@pytest.fixture(scope="session")
def minio_server(tmp_path_factory):
    """A real MinIO on this machine, for the whole session."""
    endpoint = os.environ.get("TILEPIPE_TEST_S3_ENDPOINT")
    if endpoint:
        keys = (os.environ.get(name, "") for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
        yield S3Server(endpoint, *keys)
        return
    with _running(_binary(), tmp_path_factory.mktemp("minio")) as server:
        yield server


@contextlib.contextmanager
def own_server(folder: Path, port: int = 0, certificates: Path | None = None) -> Iterator[S3Server]:
    """Start a separate MinIO with its data in a folder, for measurements and for tests that restart it.

    Args:
        folder: folder of its data and its log.
        port: port to listen at; 0 for any.
        certificates: folder with a server's `private.key` and `public.crt`, for TLS.
    """
    folder.mkdir(exist_ok=True)
    with _running(_binary(), folder, port, certificates) as server:
        yield server


@contextlib.contextmanager
def _running(binary: str, folder: Path, port: int = 0, certificates: Path | None = None) -> Iterator[S3Server]:
    port = port or free_ports(1)[0]
    scheme = "https" if certificates else "http"
    server = S3Server(f"{scheme}://127.0.0.1:{port}", "tilepipe-test", "a-secret-of-the-test")
    environment = {**os.environ, "MINIO_ROOT_USER": server.access_key, "MINIO_ROOT_PASSWORD": server.secret_key}
    command = [binary, "server", "--quiet", "--address", f"127.0.0.1:{port}", str(folder / "data")]
    if certificates:
        command += ["--certs-dir", str(certificates)]
    # In a session of its own, like a real server: Linux divides processor time among sessions, not among threads.
    options: dict[str, Any] = {"env": environment, "start_new_session": True}
    with running(command, f"{server.endpoint}/minio/health/live", folder, "MinIO", **options):
        yield server


def _binary() -> str:
    return go_binary("minio", "MINIO_BINARY", MODULE, VERSION)
