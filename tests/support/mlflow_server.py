"""A real MLflow server on loopback."""

import os
import shutil
import socket
import subprocess
import sys
import uuid

import pytest

from tests.support.servers import wait_for


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory, _empty_store, minio_server):
    """Address of a real MLflow server, which proxies the artifacts to an S3 bucket as the one in `manifests` does."""
    folder = tmp_path_factory.mktemp("mlflow")
    shutil.copy(_empty_store, folder / "mlflow.db")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-W", "ignore", "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--workers", "1"]
    bucket = minio_server.make_bucket(f"mlflow-{uuid.uuid4().hex[:12]}")
    command += ["--artifacts-destination", f"s3://{bucket.name}"]
    # Without its job executors it starts in half the time; manifests/base/mlflow switches them off, too.
    settings = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    settings |= {"AWS_ENDPOINT_URL": minio_server.endpoint, "AWS_DEFAULT_REGION": "us-east-1"}
    settings |= {"AWS_ACCESS_KEY_ID": minio_server.access_key, "AWS_SECRET_ACCESS_KEY": minio_server.secret_key}
    environment = {**os.environ, **settings}
    environment.pop("MLFLOW_TRACKING_URI", None)
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=folder)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{address}/health", server, folder / "log", "MLflow")
        yield address
    finally:
        server.terminate()
        server.wait(30)
