"""Candidates against the packed data, and the run of the sweep."""

import pytest

from tests.support.packed import manifest_for
from tilepipe.components.propose.config import ProposeConfig
from tilepipe.components.propose.propose import propose
from tilepipe.components.shared.contracts.manifest import SplitSummary
from tilepipe.components.shared.errors import ParameterError, SplitError

SPLITS = {
    "train": SplitSummary(tiles=6, tiles_per_class={"a": 3, "b": 3}, shards=()),
    "val": SplitSummary(tiles=2, tiles_per_class={"a": 2, "b": 0}, shards=()),
}


@pytest.fixture
def propose_for(tmp_path):
    def call(splits, **parameters):
        manifest_for(classes=("a", "b"), splits=splits).write(tmp_path / "manifest.json")
        config = ProposeConfig.parse(tune_space={"seed": [1, 2]}, **parameters)
        return propose(config, tmp_path / "manifest.json")

    return call


def test_the_run_of_the_sweep_has_its_parameters(propose_for, mlflow_store, monkeypatch):
    from mlflow import MlflowClient

    monkeypatch.setenv("KFP_RUN_ID", "kfp-1")
    items = propose_for(SPLITS, tune_workers=2, experiment="sweeps")
    assert len(items) == 2
    assert propose_for(SPLITS, tune_workers=2, experiment="sweeps") == items  # a retry
    mlflow = MlflowClient(tracking_uri=mlflow_store)
    (run,) = mlflow.search_runs([mlflow.get_experiment_by_name("sweeps").experiment_id])
    assert run.data.params["tune_candidates"] == "2"
    assert run.data.tags["kfp.run_id"] == "kfp-1"
    assert run.info.status == "RUNNING"
    assert run.info.run_name == f"{manifest_for().name} sweep kfp-1"


@pytest.mark.parametrize("metric", ["val_recall/b", "val_kappa"])
def test_a_metric_that_no_candidate_will_have_is_refused(propose_for, metric):
    with pytest.raises(ParameterError, match=rf"`tune_metric` must be .*tune_metric='{metric}'.*val_recall/"):
        propose_for(SPLITS, tune_metric=metric)


def test_without_validation_tiles_nothing_can_be_ranked(propose_for):
    with pytest.raises(SplitError, match="ranked by validation tiles"):
        propose_for({"train": SPLITS["train"]})
