"""MLflow's own scoring server on loopback, for a registered model."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.support.servers import free_ports, wait_for


def score(model_uri: str, tiles: NDArray[np.generic], folder: Path) -> NDArray[np.float32]:
    """Start the server, send one request, and stop the server.

    Args:
        model_uri: address of the model, such as `models:/forests/1`.
        tiles: the request, `(batch, height, width, bands)`.
        folder: folder for the log of the server.

    Returns:
        The probabilities, `(batch, classes)`.
    """
    (port,) = free_ports(1)
    command = [sys.executable, "-W", "ignore", "-m", "mlflow", "models", "serve", "-m", model_uri]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # the command starts `uvicorn`
    environment = {**os.environ, "PATH": path}
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environment, start_new_session=True)
    try:
        wait_for(f"http://127.0.0.1:{port}/ping", server, folder / "log", "MLflow's scoring server")
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations",
            json.dumps({"inputs": tiles.tolist()}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            predictions = json.load(answer)["predictions"]
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)
    return np.array(predictions["probabilities"] if isinstance(predictions, dict) else predictions, np.float32)
