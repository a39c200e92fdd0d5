"""A sweep on a real Kubeflow: candidates in several pods, one of which cannot be trained."""

import json
import re
import time
import uuid

import pytest

from tests.e2e.conftest import SMALL, run_id_in, submit
from tilepipe.components.shared.registry import version_tags
from tilepipe.components.shared.registry.registered_version import find_version
from tilepipe.components.shared.tracking import tracking

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


def test_a_study_in_a_bucket_survives_a_lost_pod_and_goes_on_in_another_run(kubeflow, sample, tmp_path):
    kubeflow.tilepipe("compile", "tune_classifier", "--out", str(tmp_path))
    yaml, prefix = tmp_path / "tune_classifier.yaml", f"study-{uuid.uuid4().hex[:8]}"
    space = {"train_learning_rate": {"low": 0.0001, "high": 0.1, "log": True}}
    options = {"study_uri": f"s3://{kubeflow.bucket.name}/{prefix}", "startup_candidates": 2}
    words = [f"data_source={sample}", *SMALL, f"tune_space={json.dumps(space)}", "tune_search=tpe"]
    words += [f"tune_options={json.dumps(options)}", "register_enabled=false"]
    run_id = run_id_in(kubeflow.tilepipe("submit", str(yaml), *words, "tune_candidates=3", "--no-wait").stdout)
    lost = _delete_the_worker_after_its_first_candidate(kubeflow, run_id, prefix)
    assert kubeflow.wait(run_id).state == "SUCCEEDED"
    assert kubeflow.executors(run_id, "tune-candidates") + (lost not in _names(kubeflow, run_id)) == 2
    first = _candidates(kubeflow, run_id)
    assert len(first) == 3
    results = _results(kubeflow, prefix)
    assert len(results) == 3

    again, done = submit(kubeflow, yaml, *words, "tune_candidates=5")
    assert kubeflow.run(again).state == "SUCCEEDED", done.stdout
    assert len(_candidates(kubeflow, again)) == 2
    now = _results(kubeflow, prefix)
    assert len(now) == 5
    assert results == {key: now[key] for key in results}  # none was computed again


def _delete_the_worker_after_its_first_candidate(kubeflow, run_id, prefix):
    for _ in range(1800):
        pods = kubeflow.executor_pods(run_id, "tune-candidates")
        workers = [pod for pod in pods if pod.status.phase == "Running"]
        if workers and _results(kubeflow, prefix):
            kubeflow.core.delete_namespaced_pod(workers[0].metadata.name, kubeflow.namespace, grace_period_seconds=0)
            return workers[0].metadata.name
        time.sleep(0.5)
    pytest.fail(f"no worker stored a result in {prefix}")


def _results(kubeflow, prefix):
    """Return the stored outcomes, with the time at which each was written."""
    stored = kubeflow.bucket.objects.filter(Prefix=prefix)
    return {item.key: item.last_modified for item in stored if re.search(r"/candidate-\d{3}-\w{16}\.json$", item.key)}


def _names(kubeflow, run_id):
    return {pod.metadata.name for pod in kubeflow.pods(run_id)}


def _candidates(kubeflow, run_id):
    """Return the names of the candidates' runs in MLflow."""
    parent = tracking.find_run(kubeflow.mlflow, run_id)
    experiment = kubeflow.mlflow.get_experiment_by_name("e2e").experiment_id
    runs = kubeflow.mlflow.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'")
    return [run.info.run_name for run in runs]
