"""A sweep on a real Kubeflow: candidates in several pods, one of which cannot be trained."""

import json
import uuid

import pytest

from tests.e2e.conftest import SMALL, submit
from tilepipe.components.shared.registry import version_tags
from tilepipe.components.shared.registry.registered_version import find_version

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2700)]


def test_a_sweep_whose_candidate_fails_registers_the_best_of_the_others(kubeflow, sample, tmp_path):
    kubeflow.tilepipe("compile", "tune_classifier", "--out", str(tmp_path))
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    space = {"together": [{"train_batch_size": size, "train_learning_rate": rate} for size, rate in
                          [(16, 0.001), (16, 0.01), (32, 0.01), (100_000, 0.01)]]}  # fmt: skip
    words = [f"data_source={sample}", *SMALL, f"tune_space={json.dumps(space)}", "tune_workers=2"]
    run_id, done = submit(kubeflow, tmp_path / "tune_classifier.yaml", *words, f"register_name={name}")
    assert kubeflow.run(run_id).state == "SUCCEEDED", done.stdout
    assert kubeflow.executors(run_id, "tune-candidates") == 2
    assert find_version(kubeflow.mlflow, f"{name}@{version_tags.CHALLENGER}").version == 1
    experiment = kubeflow.mlflow.get_experiment_by_name("e2e")
    runs = kubeflow.mlflow.search_runs([experiment.experiment_id], "metrics.`candidates/failed` = 1", max_results=5)
    assert [run for run in runs if run.data.tags.get("tilepipe.run") == run_id or run_id in str(run.data.tags)]
