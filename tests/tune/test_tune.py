"""A worker of a sweep, with real trainings."""

import json

import pytest

from tests.support.sweeping import SMALL, packed_shards, run_worker
from tilepipe.components.shared.contracts.candidates import read_outcomes
from tilepipe.components.shared.errors import ArtifactError, ParameterError
from tilepipe.components.tune.config import TuneConfig
from tilepipe.components.tune.tune import tune


def test_rungs_stop_hopeless_candidates_and_a_failure_does_not_stop_the_others(tmp_path, mlflow_store, monkeypatch):
    from mlflow import MlflowClient

    from tilepipe.components.shared.runtime import tracking

    monkeypatch.setenv("KFP_RUN_ID", "kfp-1")
    parent = tracking.open_run("sweeps", "sweep", {})
    shards = packed_shards(tmp_path / "packed")
    space = {"together": [{"train_learning_rate": rate} for rate in (1e-9, 0.02, 1e-9)] + [{"train_batch_size": 1000}]}
    options = {"rungs": [1], "reduction_factor": 3}
    found = run_worker(
        space, shards, tmp_path / "out", tune_options=options, tune_metric="val_loss", experiment="sweeps"
    )
    assert [(one.index, one.status) for one in found] == [
        (1, "finished"),
        (0, "stopped"),
        (2, "stopped"),
        (3, "failed"),
    ]
    best, second, third, failed = found
    assert [len(one.history.epochs) for one in found[:3]] == [2, 1, 1]
    assert "place 2 of 3" in second.reason
    assert second.history == third.history.model_copy(update={"epochs": second.history.epochs})
    assert "`batch_size` must be no larger than the training split" in failed.reason
    assert sorted(path.name for path in (tmp_path / "out").glob("*/model.keras")) == ["model.keras"]
    assert (tmp_path / "out" / best.name / "model.keras").is_file()
    assert {one.index for one in read_outcomes(tmp_path / "out")} == {0, 1, 2, 3}

    mlflow = MlflowClient(tracking_uri=mlflow_store)
    experiment = mlflow.get_experiment_by_name("tilepipe") or mlflow.get_experiment_by_name("sweeps")
    nested = mlflow.search_runs([experiment.experiment_id], f"tags.`mlflow.parentRunId` = '{parent}'")
    assert {run.data.tags["tilepipe.candidate"]: run.info.status for run in nested} == {
        "candidate-000": "KILLED",
        "candidate-001": "FINISHED",
        "candidate-002": "KILLED",
    }
    assert tracking.find_run(mlflow, "kfp-1") == parent
    winner = next(run for run in nested if run.info.run_id == best.mlflow_run_id)
    assert [point.step for point in mlflow.get_metric_history(winner.info.run_id, "val_loss")] == [1, 2]


def test_a_training_that_pauses_at_a_rung_gives_what_one_without_gives(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shards = packed_shards(tmp_path / "packed")
    space = {"seed": [5]}
    (paused,) = run_worker(space, shards, tmp_path / "paused", tune_options={"rungs": [1, 3]})
    (whole,) = run_worker(space, shards, tmp_path / "whole")
    timed = {"seconds", "tiles_per_second"}
    epochs = [
        [{name: value for name, value in epoch.items() if name not in timed} for epoch in one.history.epochs]
        for one in (paused, whole)
    ]
    assert epochs[0] == epochs[1]
    assert paused.weights == whole.weights > 0


def test_damaged_tiles_are_no_fault_of_a_candidate(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shards = packed_shards(tmp_path / "packed")
    (shard,) = (tmp_path / "packed" / "train").iterdir()
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(ArtifactError, match=shard.name):
        run_worker({"seed": [1]}, shards, tmp_path / "out")


@pytest.mark.parametrize("share", ["", "0", json.dumps({"worker": 0, **SMALL})])
def test_a_share_that_propose_did_not_write_is_refused(tmp_path, share):
    with pytest.raises(ParameterError, match="an item of the list that `propose` returns"):
        tune(TuneConfig(share=share), packed_shards(tmp_path / "packed"), tmp_path / "out")
