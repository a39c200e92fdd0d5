"""A training that reports to a real MLflow server over the network, including artifacts."""

import keras
import numpy as np
import pytest

from tests.support.packed import write_packed
from tests.support.waiting import wait_until
from tilepipe.components.shared.errors import TrackingError
from tilepipe.components.shared.tracking import tracking
from tilepipe.components.train.config import TrainConfig
from tilepipe.components.train.tracking import recorder
from tilepipe.components.train.train import Inputs, Outputs, train

pytestmark = pytest.mark.xdist_group("launcher")  # the one server is the launcher's


@pytest.fixture
def run(tmp_path, mlflow_server, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    manifest = write_packed(tmp_path)
    tiles = keras.Input(manifest.tile_shape)
    values = keras.layers.Flatten()(keras.layers.Rescaling(0.01)(tiles))
    keras.Model(tiles, keras.layers.Dense(3, activation="softmax")(values), name="tiny").save(tmp_path / "base.keras")

    def run(name, **parameters):
        config = TrainConfig.parse(**{"epochs": 3, "batch_size": 8, "experiment": "record", **parameters})
        read = Inputs((tmp_path / "train",), (tmp_path / "val",), tmp_path / "manifest.json", tmp_path / "base.keras")
        out = tmp_path / name
        write = Outputs(out / "model.keras", out / "history.json", out / "curves.html")
        return train(config, read, write), write

    return run


def test_the_server_holds_figures_files_and_a_model(run):
    import mlflow

    trained, written = run("out")
    client = tracking.client()
    found = client.get_run(trained.mlflow_run_id)
    assert found.info.status == "RUNNING"
    assert found.info.artifact_uri.startswith("mlflow-artifacts:/")
    assert found.inputs.dataset_inputs[0].dataset.name == "tiny (synthetic)"
    assert len(client.get_metric_history(trained.mlflow_run_id, "val_accuracy")) == 3
    page = mlflow.artifacts.load_text(f"{found.info.artifact_uri}/training/curves.html")
    assert page == written.curves.read_text()

    tiles = np.random.default_rng(0).integers(0, 200, (4, 8, 8, 2)).astype("uint16")
    served = mlflow.pyfunc.load_model(f"runs:/{trained.mlflow_run_id}/model")
    own = keras.saving.load_model(written.model)
    assert np.allclose(served.predict(tiles), own.predict(tiles, verbose=0), atol=1e-6)


def test_a_server_that_goes_away_and_comes_back_misses_nothing(run, monkeypatch, mlflow_server, caplog):
    def epoch(self, epoch, figures, curves=b""):
        # Unreachable while the second epoch ends: no server listens on the discard port.
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9" if epoch == 2 else mlflow_server)
        report(self, epoch, figures, curves)
        if epoch == 2:
            wait_until(lambda: "figures for MLflow are queued: MLflow must be reachable" in caplog.text, 60)

    report = recorder.Record.epoch
    monkeypatch.setattr(recorder.Record, "epoch", epoch)
    trained, _ = run("out")
    points = tracking.client().get_metric_history(trained.mlflow_run_id, "val_loss")
    assert [point.step for point in points] == [1, 2, 3]


def test_a_server_that_is_away_at_the_start_stops_the_step(run, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(TrackingError, match=r"reachable at MLFLOW_TRACKING_URI to open a run.*http://127\.0\.0\.1:9"):
        run("out")
