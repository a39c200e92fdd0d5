"""A real MLflow server on loopback."""

import contextlib
import os
import shutil
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.minio_server import S3Server
from tests.support.servers import free_ports, running


@dataclass(frozen=True)
class MlflowServer:
    """Address of a server, and the bucket with its artifacts."""

    address: str
    bucket: str


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory, _empty_store, minio_server):
    """Address of a real MLflow server, which proxies the artifacts to an S3 bucket as the one in `manifests` does."""
    folder = tmp_path_factory.mktemp("mlflow")
    shutil.copy(_empty_store, folder / "mlflow.db")
    with running_mlflow(folder, f"sqlite:///{folder / 'mlflow.db'}", minio_server) as server:
        yield server.address


@contextlib.contextmanager
def running_mlflow(
    folder: Path, store_uri: str, s3: S3Server, *options: str, bucket: str = ""
) -> Iterator[MlflowServer]:
    """Run a server whose artifacts are in a bucket.

    Args:
        folder: folder for its log.
        store_uri: address of its database.
        s3: server of the bucket.
        *options: further options of `mlflow server`.
        bucket: name of a bucket that exists. Defaults to a new one.

    Yields:
        The server.
    """
    (port,) = free_ports(1)
    command = [sys.executable, "-W", "ignore", "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", store_uri, "--workers", "1"]
    bucket = bucket or s3.make_bucket(f"mlflow-{uuid.uuid4().hex[:12]}").name
    command += ["--artifacts-destination", f"s3://{bucket}", *options]
    # Without its job executors it starts in half the time; manifests/base/mlflow switches them off, too.
    settings = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    settings |= {"AWS_ENDPOINT_URL": s3.endpoint, "AWS_DEFAULT_REGION": "us-east-1"}
    settings |= {"AWS_ACCESS_KEY_ID": s3.access_key, "AWS_SECRET_ACCESS_KEY": s3.secret_key}
    environment = {**os.environ, **settings}
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_WORKSPACE"):
        environment.pop(name, None)
    address = f"http://127.0.0.1:{port}"
    with running(command, f"{address}/health", folder, "MLflow", env=environment, cwd=folder):
        yield MlflowServer(address, bucket)
