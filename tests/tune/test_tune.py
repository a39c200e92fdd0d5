"""A worker of a sweep, with real trainings."""

import json

import pytest

from tests.support.small_disk import small_disk
from tests.support.sweeping import SMALL, packed_shards, run_worker
from tilepipe.components.shared.contracts.candidates import read_outcomes
from tilepipe.components.shared.contracts.manifest import read_manifest
from tilepipe.components.shared.errors import ArtifactError, ParameterError, full_disk
from tilepipe.components.shared.runtime import run_settings
from tilepipe.components.tune.config import TuneConfig
from tilepipe.components.tune.tune import tune


def test_rungs_stop_unpromising_candidates_and_a_failure_stops_no_other(tmp_path, mlflow_store, monkeypatch):
    from mlflow import MlflowClient

    from tilepipe.components.shared.tracking import tracking

    monkeypatch.setenv("KFP_RUN_ID", "kfp-1")
    parent = tracking.open_run("tilepipe", "sweep", {})
    shards = packed_shards(tmp_path / "packed")
    space = {"together": [{"train_learning_rate": 1e-9}, {"train_learning_rate": 0.02}, {"train_batch_size": 1000}]}
    options = {"rungs": [1], "reduction_factor": 2}
    found = run_worker(space, shards, tmp_path / "out", tune_options=options, tune_metric="val_loss")
    assert [(one.index, one.status) for one in found] == [(1, "finished"), (0, "stopped"), (2, "failed")]
    best, stopped, failed = found
    assert (len(best.history.epochs), len(stopped.history.epochs), failed.history) == (2, 1, None)
    assert "place 2 of 2 of its worker after 1 epochs, of which 1 continued" in stopped.reason
    assert "`train_batch_size` must be no larger than the training split" in failed.reason
    assert best.weights == stopped.weights > 0
    assert best.seconds >= best.training_seconds > stopped.training_seconds > 0
    assert list((tmp_path / "out").glob("*/model.keras")) == [tmp_path / "out" / best.name / "model.keras"]
    assert {one.index for one in read_outcomes(tmp_path / "out")} == {0, 1, 2}

    mlflow = MlflowClient(tracking_uri=mlflow_store)
    experiment = mlflow.get_experiment_by_name("tilepipe").experiment_id
    nested = mlflow.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'")
    assert {run.data.tags["tilepipe.candidate"]: run.info.status for run in nested} == {
        "candidate-000": "KILLED",
        "candidate-001": "FINISHED",
        "candidate-002": "FAILED",
    }
    assert mlflow.get_run(failed.mlflow_run_id).data.params["candidate.train_batch_size"] == "1000"
    assert mlflow.get_run(parent).info.status == "RUNNING"
    assert tracking.find_run(mlflow, "kfp-1") == parent
    assert [point.step for point in mlflow.get_metric_history(best.mlflow_run_id, "val_loss")] == [1, 2]

    # A training that pauses at a rung gives what one without rungs gives.
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    (whole,) = run_worker({"train_learning_rate": [0.02]}, shards, tmp_path / "whole", tune_metric="val_loss")
    timed = {"seconds", "tiles_per_second"}
    paused, straight = (
        [{name: value for name, value in epoch.items() if name not in timed} for epoch in one.history.epochs]
        for one in (best, whole)
    )
    assert paused == straight


def test_the_mlflow_run_of_a_candidate_has_its_own_parameters(tmp_path, mlflow_store, monkeypatch):
    from mlflow import MlflowClient

    from tilepipe.components.shared.tracking import tracking

    monkeypatch.setenv("KFP_RUN_ID", "kfp-1")
    given = {"seed": 7, "model_architecture": "compact", "model_options": {"dropout": 0.1}, "split_by": "class"}
    monkeypatch.setenv(run_settings.VARIABLE, run_settings.encode(given, "runs/one"))
    tracking.open_run("tilepipe", "sweep", {})
    shards = packed_shards(tmp_path / "packed")
    bands = read_manifest(shards.manifest).bands
    cnn = {"model_architecture": "cnn", "model_options.bands": [bands[1]]}
    space = {"together": [cnn, {**cnn, "seed": 8}, {**cnn, "model_options.bands": ["B99"]}]}
    base = {"seed": 7, "model_architecture": "compact", "model_options": {"dropout": 0.1}, "train_epochs": 1}
    outcomes = run_worker(space, shards, tmp_path / "out", **base)

    mlflow = MlflowClient(tracking_uri=mlflow_store)
    first, other, failed = (
        mlflow.get_run(one.mlflow_run_id).data.params for one in sorted(outcomes, key=lambda one: one.index)
    )
    expected = {
        "seed": "7",
        "model_architecture": "cnn",
        "model_options.bands": f'["{bands[1]}"]',
        "model_options.dropout": "0.1",
        "candidate.model_architecture": "cnn",
        "candidate.model_options.bands": f'["{bands[1]}"]',
        "split_by": "class",
        "run.folder": "runs/one",
    }
    assert {name: first.get(name) for name in expected} == expected
    assert "model_options" not in first, "that of the pipeline is of no candidate"
    assert (other["seed"], other["candidate.seed"]) == ("8", "8")
    assert failed["model_options.bands"] == failed["candidate.model_options.bands"] == '["B99"]'
    assert failed.get("model_options.dropout") == "0.1"


def test_damaged_tiles_are_no_fault_of_a_candidate(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shards = packed_shards(tmp_path / "packed")
    (shard,) = (tmp_path / "packed" / "train").iterdir()
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(ArtifactError, match=shard.name):
        run_worker({"seed": [1]}, shards, tmp_path / "out")


def test_a_full_disk_is_no_fault_of_a_candidate(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shards = packed_shards(tmp_path / "packed")
    small = tmp_path / "small"
    with small_disk(small, 16):
        with pytest.raises(OSError, match=r"candidate-000 or /.*tmp") as raised:
            run_worker({"seed": [1]}, shards, small / "out")
        assert str(full_disk(raised.value)).startswith("The disk is full: ")


@pytest.mark.parametrize("share", ["", "0", json.dumps({"worker": 0, **SMALL})])
def test_a_share_that_propose_did_not_write_is_refused(tmp_path, share):
    with pytest.raises(ParameterError, match="an item of the list that `propose` returns"):
        tune(TuneConfig(share=share), packed_shards(tmp_path / "packed"), tmp_path / "out")
