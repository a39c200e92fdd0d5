"""The winner of a sweep, trained on more tiles or passed on."""

import json

import pytest

from tests.support.sweeping import packed_shards, run_worker
from tilepipe.components.refit.config import RefitConfig
from tilepipe.components.refit.refit import Inputs, Outputs, refit
from tilepipe.components.shared.contracts.history import read_history
from tilepipe.components.shared.contracts.manifest import read_manifest
from tilepipe.components.shared.errors import ArtifactError
from tilepipe.components.shared.runtime import run_settings


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    """Artifacts of a sweep of one candidate, with early stopping."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shards = packed_shards(tmp_path / "packed", tiles=(24, 12, 6))
    patience = {"early_stopping_patience_epochs": 2}
    (winner,) = run_worker({"train_options": [patience]}, shards, tmp_path / "out")
    folder = tmp_path / "out" / winner.name
    winner.history.write(folder / "history.json")
    files = (folder / name for name in ("outcome.json", "model.keras", "history.json"))
    return Inputs(*files, shards.manifest, shards.train, shards.val)


def test_the_winner_is_passed_on_or_trained_on_all_but_the_test_tiles(inputs, tmp_path):
    outputs = Outputs(*(tmp_path / "as_it_is" / name for name in ("model.keras", "history.json", "manifest.json")))
    assert refit(RefitConfig(), inputs, outputs) == ""
    assert outputs.model.read_bytes() == inputs.model.read_bytes()
    assert outputs.manifest.read_bytes() == inputs.manifest.read_bytes()

    outputs = Outputs(*(tmp_path / "again" / name for name in ("model.keras", "history.json", "manifest.json")))
    refit(RefitConfig(enabled=True), inputs, outputs)
    splits = read_manifest(outputs.manifest).splits
    assert [splits[split].tiles for split in ("train", "val", "test")] == [36, 0, 6]
    assert [shard.name for shard in splits["train"].shards] == [
        "train-00000-of-00001.tfrecord",
        "val-00000-of-00001.tfrecord",
    ]
    history = read_history(outputs.history)
    assert history.metric == "last_epoch"
    assert len(history.epochs) == read_history(inputs.history).best_epoch
    assert outputs.model.read_bytes() != inputs.model.read_bytes()

    inputs.winner.write_text("{}")
    with pytest.raises(ArtifactError, match="outcome of a sweep must be JSON"):
        refit(RefitConfig(), inputs, outputs)


def test_a_best_epoch_within_the_warm_up_is_followed_by_the_fewest_epochs_that_are_enough(inputs, tmp_path, caplog):
    best = read_history(inputs.history).best_epoch
    winner = json.loads(inputs.winner.read_text())
    inputs.winner.write_text(json.dumps({**winner, "parameters": {"train_options.warmup_epochs": best}}))
    outputs = Outputs(*(tmp_path / "again" / name for name in ("model.keras", "history.json", "manifest.json")))
    refit(RefitConfig(enabled=True), inputs, outputs)
    assert len(read_history(outputs.history).epochs) == best + 1
    assert f"was best after {best} epochs, but head_epochs=0 and warmup_epochs={best} need {best + 1}" in caplog.text


def test_the_mlflow_run_has_the_parameters_of_the_winner(inputs, tmp_path, mlflow_store, monkeypatch):
    from mlflow import MlflowClient

    monkeypatch.setenv("KFP_RUN_ID", "kfp-1")
    given = {"model_options": {"dropout": 0.9}, "seed": 3}
    monkeypatch.setenv(run_settings.VARIABLE, run_settings.encode(given, "runs/one"))
    winner = json.loads(inputs.winner.read_text())
    parameters = {**winner["parameters"], "model_options.dropout": 0.2, "seed": 4}
    inputs.winner.write_text(json.dumps({**winner, "parameters": parameters}))
    outputs = Outputs(*(tmp_path / "again" / name for name in ("model.keras", "history.json", "manifest.json")))
    parent = refit(RefitConfig(enabled=True), inputs, outputs)
    mlflow = MlflowClient(tracking_uri=mlflow_store)
    experiment = mlflow.get_run(parent).info.experiment_id
    (run,) = mlflow.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'")
    assert run.data.params["model_options.dropout"] == "0.2"
    assert run.data.params["seed"] == "4"
    assert "model_options" not in run.data.params
