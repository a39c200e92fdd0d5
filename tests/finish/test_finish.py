"""The exit handler against a real MLflow store."""

import json
import socket

import pytest

from tests.support.tls_server import make_certificates, serving
from tilepipe.components.finish.config import FinishConfig
from tilepipe.components.finish.finish import finish
from tilepipe.components.shared.errors import TrackingError
from tilepipe.components.shared.runtime import cluster, run_settings
from tilepipe.components.shared.tracking import tracking
from tilepipe.pipelines.cli.compilation import compiled_pipeline


@pytest.fixture
def store(mlflow_store, monkeypatch, termination_log):
    monkeypatch.setenv("KFP_RUN_ID", "run-1")
    return termination_log


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


def test_a_failure_before_training_gets_a_run_of_its_own(store, monkeypatch):
    monkeypatch.setenv(run_settings.VARIABLE, run_settings.encode({"split_by": "group"}, "/runs/1"))
    store.write_text("ingest: the folder is empty", encoding="utf-8")
    finish(FinishConfig(experiment="early"), "FAILED")
    mlflow = tracking.client()
    run = mlflow.get_run(tracking.find_run(mlflow, "run-1"))
    assert run.info.status == "FAILED"
    assert mlflow.get_experiment(run.info.experiment_id).name == "early"
    assert run.data.tags[tracking.FAILURE_TAG] == "the folder is empty"
    assert run.info.run_name == "ingest failed: the folder is empty"
    assert run.data.params == {"split_by": "group", "run.folder": "/runs/1"}


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


def test_on_a_cluster_the_run_gets_the_parameters_of_all_steps(store, tmp_path, monkeypatch):
    """As KFP 2.16 to 2.18 write a Workflow; the answer also serves as the list of its pods."""
    pipeline = compiled_pipeline.load("train_classifier")
    given = {name: one.default for name, one in pipeline.parameters.items()}
    given |= {"data_source": "s3://who:hidden@tiles", "pack_options": {"readers": 4}, "seed": 7, "train_epochs": 3}
    stated = [{"name": "runtime-config", "value": json.dumps({"parameterValues": given})}]
    spec = {
        "arguments": {"parameters": [{"name": "components-root", "value": json.dumps(pipeline.spec["root"])}]},
        "templates": [{"name": "executor"}, {"dag": {"tasks": [{"arguments": {"parameters": stated}}, {}]}}],
    }
    run_id = tracking.open_run("tests", "a run", {})
    tracking.log_params(run_id, {"epochs": 3, "seed": 7})  # as `train`
    make_certificates(tmp_path)
    (tmp_path / "token").write_text("a-token")
    (tmp_path / "namespace").write_text("tiles")
    with serving(tmp_path, json.dumps({"spec": spec, "status": {}, "items": []}).encode()) as address:
        for name, file in {"TOKEN": "token", "CERT": "ca.crt"}.items():
            monkeypatch.setattr(f"kubernetes.config.incluster_config.SERVICE_{name}_FILENAME", str(tmp_path / file))
        monkeypatch.setattr(cluster, "_SERVICE_ACCOUNT", tmp_path)
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", address.rpartition(":")[2])
        monkeypatch.setenv("KFP_WORKFLOW_NAME", "w")
        finish(FinishConfig(), "RUNNING")
    run = tracking.client().get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {
        "data_source": "s3://***@tiles",
        "pack_options": '{"readers": 4}',
        "seed": "7",
        "epochs": "3",
    }
