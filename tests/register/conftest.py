"""A bundle without training, and a tracked run of a training, in a real MLflow store."""

import pytest

from tests.support.bundles import write_model_bundle
from tilepipe.components.register.config import RegisterConfig
from tilepipe.components.register.register import Lineage, register
from tilepipe.components.shared.tracking import tracking

LINEAGE = Lineage(
    "registry.example/train:1", ("s3://tiles/test-0", "s3://tiles/test-1"), ("s3://tiles/contents.parquet",)
)


@pytest.fixture
def bundle(tmp_path):
    """Path of a bundle, and its SHA-256."""
    path = tmp_path / "bundle.tar.gz"
    return path, write_model_bundle(path, name="bright")


@pytest.fixture
def run_id(mlflow_store, monkeypatch):
    """Id of the MLflow run of a finished training."""
    monkeypatch.setenv("KFP_RUN_ID", "kfp-1")
    run_id = tracking.open_run("tests", "a training", {})
    tracking.log_params(run_id, {"epochs": 3})
    tracking.close_run(run_id, "FINISHED")
    tracking.adopt_run(tracking.UNTRACKED)  # as in the process of another step
    return run_id


@pytest.fixture
def do_register(bundle, run_id):
    """Register the bundle; keyword arguments replace parameters of the step."""

    def do(path=bundle[0], sha256=bundle[1], **parameters):
        config = RegisterConfig.parse(**{"mlflow_run_id": run_id, **parameters})
        return register(config, path, sha256, LINEAGE)

    return do
