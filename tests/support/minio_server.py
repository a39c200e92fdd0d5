"""A real S3 server for tests: the fixture `minio_server`.

It uses the first of these: the server that `TILEPIPE_TEST_S3_ENDPOINT` names (with the credentials in
`AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`); the binary that `MINIO_BINARY` names; `minio` on the PATH; a binary
built before; a binary built now with Go. Without any, the test is skipped with the reason.
"""

import contextlib
import fcntl
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.servers import wait_for

# The newest version on Go's module proxy; its authors no longer publish binaries.
MODULE = "github.com/minio/minio"
VERSION = "v0.0.0-20260212201848-7aac2a2c5b7c"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tilepipe" / f"minio-{VERSION}"


@dataclass(frozen=True)
class S3Server:
    """Address and credentials of a server."""

    endpoint: str
    access_key: str
    secret_key: str

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Set the environment variables that name this server."""
        monkeypatch.setenv("AWS_ENDPOINT_URL", self.endpoint)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", self.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", self.secret_key)
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        for name in ("AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"):
            monkeypatch.delenv(name, raising=False)

    def make_bucket(self, name: str):
        """Create a bucket; returns it as a boto3 Bucket."""
        import boto3

        s3 = boto3.resource(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name="us-east-1",
        )
        bucket = s3.Bucket(name)
        bucket.create()
        return bucket


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
def own_server(folder: Path, port: int = 0) -> Iterator[S3Server]:
    """Start a separate MinIO with its data in a folder, for measurements and for tests that restart it."""
    folder.mkdir(exist_ok=True)
    with _running(_binary(), folder, port) as server:
        yield server


@contextlib.contextmanager
def _running(binary: str, folder: Path, port: int = 0) -> Iterator[S3Server]:
    if not port:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
    server = S3Server(f"http://127.0.0.1:{port}", "tilepipe-test", "a-secret-of-the-test")
    environment = {**os.environ, "MINIO_ROOT_USER": server.access_key, "MINIO_ROOT_PASSWORD": server.secret_key}
    command = [binary, "server", "--quiet", "--address", f"127.0.0.1:{port}", str(folder / "data")]
    with (folder / "log").open("wb") as log:
        # In a session of its own, like a real server: Linux divides processor time among sessions, not among threads.
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for(f"{server.endpoint}/minio/health/live", process, folder / "log", "MinIO")
        yield server
    finally:
        process.terminate()
        process.wait(30)


def _binary() -> str:
    found = os.environ.get("MINIO_BINARY") or shutil.which("minio")
    if found:
        return found
    built = CACHE / "minio"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:  # several test processes may want it at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not built.exists():
            _build(built)
    return str(built)


def _build(built: Path) -> None:
    go = shutil.which("go")
    if not go:
        pytest.skip("no S3 server: set TILEPIPE_TEST_S3_ENDPOINT or MINIO_BINARY, or install minio or Go")
    folder = built.parent / "build"
    environment = {**os.environ, "GOBIN": str(folder), "CGO_ENABLED": "0"}
    command = [go, "install", f"{MODULE}@{VERSION}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no S3 server: MinIO does not build here: {done.stderr[-500:]}")
    (folder / "minio").replace(built)
