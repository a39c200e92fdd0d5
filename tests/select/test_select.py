"""The winner of a sweep, and sweeps without one."""

import json

import pytest

from tests.support.packed import manifest_for
from tests.support.sweeping import made_up
from tilepipe.components.select.config import SelectConfig
from tilepipe.components.select.select import Outputs, select
from tilepipe.components.shared.contracts.candidates import OUTCOME_FILE
from tilepipe.components.shared.errors import ArtifactError, ParameterError

FILES = ("winner.json", "model.keras", "history.json", "ranking.json", "comparison.html", "summary.md")


@pytest.fixture
def select_among(tmp_path, monkeypatch):
    """Function that selects among the candidates of workers."""

    def call(*workers, models=(), **config):
        manifest_for().write(tmp_path / "manifest.json")
        folders = [tmp_path / f"worker-{number}" for number in range(len(workers))]
        for folder, outcomes in zip(folders, workers, strict=True):
            folder.mkdir()
            for outcome in outcomes:
                outcome.write(folder / outcome.name / OUTCOME_FILE)
                if outcome.index in models:
                    (folder / outcome.name / "model.keras").write_text(f"model {outcome.index}")
        outputs = Outputs(*(tmp_path / name for name in FILES))
        return select(SelectConfig(**config), folders, tmp_path / "manifest.json", outputs), outputs

    return call


def test_the_best_of_all_workers_wins_and_mlflow_has_the_comparison(select_among, mlflow_store, monkeypatch):
    from mlflow import MlflowClient

    monkeypatch.setenv("KFP_RUN_ID", "kfp-1")
    workers = [
        [made_up(0, {"seed": 0}, [0.5, 0.7]), made_up(2, {"seed": 2}, [], status="failed", reason="no such band")],
        [made_up(1, {"seed": 1}, [0.4, 0.9, 0.8])],
    ]
    winner, outputs = select_among(*workers, models=(0, 1), experiment="sweeps")
    assert (winner.index, winner.value, winner.history.best_epoch) == (1, 0.9, 2)
    assert outputs.model.read_text() == "model 1"
    ranking = json.loads(outputs.ranking.read_text())
    assert [(one["candidate"], one["status"], one["val_accuracy"]) for one in ranking] == [
        ("candidate-001", "finished", 0.9),
        ("candidate-000", "finished", 0.7),
        ("candidate-002", "failed", None),
    ]
    assert "Candidate 1 is the best of 3" in outputs.summary.read_text()

    mlflow = MlflowClient(tracking_uri=mlflow_store)
    (run,) = mlflow.search_runs([mlflow.get_experiment_by_name("sweeps").experiment_id])
    assert run.data.params["winner.seed"] == "1"
    assert run.data.metrics["winner/val_accuracy"] == 0.9
    assert run.data.metrics["candidates/failed"] == 1
    assert {file.path for file in mlflow.list_artifacts(run.info.run_id, "sweep")} == {
        "sweep/comparison.html",
        "sweep/ranking.json",
    }


@pytest.fixture
def _untracked(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.mark.usefixtures("_untracked")
def test_a_sweep_in_which_all_candidates_failed_is_one_clear_error(select_among):
    failed = [made_up(index, {}, [], status="failed", reason="The loss must stay finite.") for index in range(3)]
    with pytest.raises(ParameterError, match=r"3 candidates, of which 3 failed: 3 x The loss must stay finite\."):
        select_among(failed)


@pytest.mark.usefixtures("_untracked")
def test_a_metric_that_no_candidate_has_is_one_clear_error(select_among):
    unmeasured = made_up(0, {}, [0.5]).model_copy(update={"metric": "val_kappa"})
    with pytest.raises(ParameterError, match=r"tune_metric='val_kappa', which none has.*val_accuracy, val_loss"):
        select_among([unmeasured], models=(0,))


@pytest.mark.usefixtures("_untracked")
def test_outcomes_that_are_missing_are_an_error(select_among):
    with pytest.raises(ArtifactError, match="Received: no model of candidate-000"):
        select_among([made_up(0, {}, [0.5])])


@pytest.mark.usefixtures("_untracked")
def test_no_outcomes_are_an_error(select_among):
    with pytest.raises(ArtifactError, match="needs outcomes"):
        select_among([])


@pytest.mark.parametrize(("status", "moves"), [("KILLED", True), ("FAILED", True), ("FINISHED", False)])
def test_candidates_of_an_interrupted_sweep_are_nested_below_the_one_that_continues(
    status, moves, select_among, mlflow_store, monkeypatch
):
    from mlflow import MlflowClient

    monkeypatch.setenv("KFP_RUN_ID", "kfp-2")
    mlflow = MlflowClient(tracking_uri=mlflow_store)
    earlier = mlflow.create_run("0").info.run_id
    candidate = mlflow.create_run("0", tags={"mlflow.parentRunId": earlier}).info.run_id
    mlflow.set_terminated(earlier, status)
    outcomes = [
        made_up(0, {"seed": 0}, [0.7]).model_copy(update={"mlflow_run_id": candidate}),
        made_up(1, {"seed": 1}, [0.5]).model_copy(update={"mlflow_run_id": "0" * 32}),  # of another server, or deleted
    ]
    select_among(outcomes, models=(0,), experiment="sweeps")
    (run,) = mlflow.search_runs([mlflow.get_experiment_by_name("sweeps").experiment_id])
    assert mlflow.get_run(candidate).data.tags["mlflow.parentRunId"] == (run.info.run_id if moves else earlier)
