"""Registration in a real MLflow server whose artifacts are in a bucket, as on Kubernetes."""

import numpy as np
import pytest

from tests.support.bundles import write_model_bundle
from tilepipe.components.register.config import RegisterConfig
from tilepipe.components.register.register import Lineage, register
from tilepipe.components.shared.registry.registered_version import fetch_bundle, find_version
from tilepipe.components.shared.tracking import tracking


@pytest.mark.xdist_group("launcher")
def test_a_server_with_artifacts_in_a_bucket_returns_what_was_registered(mlflow_server, tmp_path, monkeypatch):
    import mlflow.pyfunc

    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    run_id = tracking.open_run("registration", "a training", {})
    tracking.adopt_run(tracking.UNTRACKED)
    bundle = tmp_path / "bundle.tar.gz"
    digest = write_model_bundle(bundle)
    config = RegisterConfig(mlflow_run_id=run_id, name="in-a-bucket")
    assert [register(config, bundle, digest, Lineage()) for _ in range(2)] == ["in-a-bucket/1"] * 2

    client = tracking.client()
    (tmp_path / "fetched").mkdir()
    fetched = fetch_bundle(client, find_version(client, "in-a-bucket@challenger"), tmp_path / "fetched")
    assert fetched.read_bytes() == bundle.read_bytes()
    model = mlflow.pyfunc.load_model("models:/in-a-bucket@challenger")
    assert model.predict(np.zeros((2, 8, 8, 2), np.uint16))["probabilities"].shape == (2, 3)
