"""The exit handler against a real MLflow store."""

import socket

import pytest

from tilepipe.components.finish.config import FinishConfig
from tilepipe.components.finish.finish import finish
from tilepipe.components.shared.errors import TrackingError
from tilepipe.components.shared.runtime import tracking


@pytest.fixture
def store(mlflow_store, tmp_path, monkeypatch):
    monkeypatch.setenv("KFP_RUN_ID", "run-1")
    note = tmp_path / "termination-log"
    note.touch()
    monkeypatch.setenv("TILEPIPE_TERMINATION_LOG", str(note))
    return note


def test_success_closes_the_open_run_and_logs_its_page(store, caplog):
    run_id = tracking.open_run("tests", "a run", {})
    with caplog.at_level("INFO"):
        finish(FinishConfig(), "SUCCEEDED")
    run = tracking.client().get_run(run_id)
    assert run.info.status == "FINISHED"
    page = f"#/experiments/{run.info.experiment_id}/runs/{run_id}?workflowType=machine_learning"
    assert f"MLflow run {run_id} is FINISHED: {page}" in caplog.text


def test_a_failed_step_is_named_with_its_reason(store):
    run_id = tracking.open_run("tests", "a run", {})
    tracking.record_failure("train", "the loss is NaN")
    finish(FinishConfig(), "FAILED")
    run = tracking.client().get_run(run_id)
    assert run.info.status == "FAILED"
    assert run.data.tags[tracking.FAILED_STEP_TAG] == "train"
    assert run.data.tags[tracking.FAILURE_TAG] == "the loss is NaN"


def test_a_failure_before_training_gets_a_run_of_its_own(store):
    store.write_text("ingest: the folder is empty", encoding="utf-8")
    finish(FinishConfig(experiment="early"), "FAILED")
    mlflow = tracking.client()
    run = mlflow.get_run(tracking.find_run(mlflow, "run-1"))
    assert run.info.status == "FAILED"
    assert mlflow.get_experiment(run.info.experiment_id).name == "early"
    assert run.data.tags[tracking.FAILURE_TAG] == "the folder is empty"
    assert run.info.run_name == "ingest failed: the folder is empty"


def test_a_run_from_the_cache_opens_none(store):
    finish(FinishConfig(), "SUCCEEDED")
    assert tracking.find_run(tracking.client(), "run-1") == tracking.UNTRACKED


def test_untracked(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert finish(FinishConfig(), "SUCCEEDED").state == "succeeded"


def test_a_server_that_is_away_is_one_clear_error(store, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free.getsockname()[1]}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        with pytest.raises(TrackingError, match="MLflow must be reachable at MLFLOW_TRACKING_URI to find the run"):
            finish(FinishConfig(), "SUCCEEDED")
