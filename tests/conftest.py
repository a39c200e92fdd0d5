"""Fixtures and helpers of all tests."""

import logging
import os
import shutil
import tarfile
from pathlib import Path

import pycurl  # noqa: F401 - before any test imports TensorFlow, which hides pycurl's own libcurl
import pytest

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("TILE_DATA_DIR", ROOT.parent / "shared" / "data"))


@pytest.fixture(autouse=True)
def _log_handlers():
    """Remove the handler that a step adds: it writes to the standard error of one test, which is closed after it."""
    root = logging.getLogger()
    before = root.handlers[:]
    yield
    for handler in set(root.handlers) - set(before):
        root.removeHandler(handler)


@pytest.fixture(scope="session")
def real_data():
    """Function that returns a file or folder of the real data, or skips the test if it is absent."""

    def find(name: str) -> Path:
        path = DATA / name
        if not path.exists():
            pytest.skip(f"real data are absent: {path} (set TILE_DATA_DIR)")
        return path

    return find


@pytest.fixture(scope="session")
def eurosat100(real_data, tmp_path_factory):
    """Folder with the 100 GeoTIFFs of EuroSAT100 and their STAC catalog."""
    folder = tmp_path_factory.mktemp("eurosat100")
    with tarfile.open(real_data("eurosat-ms100/eurosat-ms100.tar")) as tar:
        tar.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="session")
def _empty_store(tmp_path_factory):
    """An MLflow store with all its tables, to copy: creating them takes seconds."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def mlflow_store(_empty_store, tmp_path, monkeypatch):
    """URI of a real MLflow store for one test, which `MLFLOW_TRACKING_URI` names."""
    shutil.copy(_empty_store, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return uri


@pytest.fixture
def termination_log(tmp_path, monkeypatch):
    """File in which a step leaves its error, as a container's termination log."""
    path = tmp_path / "termination-log"
    path.touch()
    monkeypatch.setenv("TILEPIPE_TERMINATION_LOG", str(path))
    return path
