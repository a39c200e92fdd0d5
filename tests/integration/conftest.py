"""The surroundings of a pod, on this machine: what an image installs, an object store, a tracking server."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.minio_server import minio_server  # noqa: F401 - a fixture

ROOT = Path(__file__).parents[2]


def _uv() -> str:
    found = shutil.which("uv") or str(ROOT / "build" / "uv" / "bin" / "uv")
    if not Path(found).exists():
        pytest.skip("uv is neither on the PATH nor in build/uv (run `make setup`)")
    return found


@pytest.fixture(scope="session")
def image_environments():
    """Virtual environments that hold what `images/data` and `images/train` install, and nothing else."""
    folders = {}
    for image, extra in (("data", "data"), ("train", "train")):
        folder = ROOT / "build" / "images" / image
        environment = {**os.environ, "UV_PROJECT_ENVIRONMENT": str(folder)}
        environment.pop("VIRTUAL_ENV", None)
        # As in images/<image>/Dockerfile; `--python` since the tests may run another one than uv would find.
        sync = [_uv(), "sync", "-q", "--frozen", "--no-dev", "--no-editable", "--extra", extra]
        sync += ["--python", sys.executable]
        subprocess.run(sync, check=True, cwd=ROOT, env=environment)
        install = [_uv(), "pip", "install", "-q", "--no-deps", "--python", str(folder / "bin" / "python")]
        subprocess.run([*install, "kfp==2.17.0"], check=True, cwd=ROOT, env=environment)
        folders[image] = folder
    return folders


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory):
    """A real MLflow server with proxied artifacts; gives its address."""
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-W", "ignore", "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--workers", "1"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=folder)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/health", server, folder / "log")
        yield address
    finally:
        server.terminate()
        server.wait(30)


def _wait_for(address: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(240):
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            if server.poll() is not None:
                break
            time.sleep(0.5)
    pytest.fail(f"the server at {address} did not come up: {log.read_text()[-2000:]}")
