"""`train_classifier` on a real Kubeflow while a service that it needs is killed in the middle of the training.

How a service is killed depends on the installation. E2E_FAULTS names a folder with a program per fault, named like the
parameters below; it kills the service, waits, and ends once the service is back. `memory-pressure` gets the name of the
training's pod, and ends once the kubelet has evicted it and the node is free again. A fault without a program is not
tested.
"""

import os
import subprocess
import time
import uuid
from pathlib import Path

import pytest

from tests.e2e.conftest import SMALL, submit
from tests.e2e.test_train_classifier import mlflow_run, training_pod, weights
from tilepipe.components.shared.tracking import tracking

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

FAULTS = ("kubernetes-api", "object-store", "mlflow", "mlflow-database", "kfp-database", "memory-pressure")
EPOCHS = 150
_LONGEST_FAULT_SECONDS = 300


@pytest.fixture(scope="module")
def words(sample):
    """Arguments of all runs; long enough to be disturbed in the middle."""
    return [f"data_source={sample}", *SMALL, f"train_epochs={EPOCHS}", "seed=21", "export_enabled=false"]


@pytest.fixture(scope="module")
def undisturbed(kubeflow, pipeline_yaml, words):
    """Digest of the weights that a training without faults ends with."""
    run_id, done = submit(kubeflow, pipeline_yaml, *words)
    assert kubeflow.run(run_id).state == "SUCCEEDED", done.stdout
    return weights(kubeflow, run_id)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_training_during_a_fault_ends_with_the_same_model(kubeflow, pipeline_yaml, words, undisturbed, fault):
    program = _program(fault)
    place = f"train_checkpoint_uri=s3://{kubeflow.bucket.name}/chaos-{uuid.uuid4().hex[:8]}"
    every_second = 'train_options={"checkpoint_every_seconds": 1}'
    run_id, _ = submit(kubeflow, pipeline_yaml, *words, place, every_second, "--no-wait")
    pod = in_the_middle(kubeflow, run_id)
    subprocess.run([program, pod], check=True, timeout=_LONGEST_FAULT_SECONDS, stdin=subprocess.DEVNULL)
    run = kubeflow.wait(run_id)
    assert run.state == "SUCCEEDED", [(task.display_name, task.state) for task in run.run_details.task_details]
    assert weights(kubeflow, run_id) == undisturbed
    record = mlflow_run(kubeflow, run_id)
    assert record.info.status == "FINISHED"
    history = kubeflow.mlflow.get_metric_history(record.info.run_id, "val_loss")
    assert sorted({metric.step for metric in history}) == list(range(1, EPOCHS + 1))
    assert record.data.metrics["test_tiles"] == 30
    experiment = [record.info.experiment_id]
    assert len(kubeflow.mlflow.search_runs(experiment, f"tags.`{tracking.KFP_RUN_TAG}` = '{run_id}'")) == 1


def _program(fault):
    """Return the path of the program that injects a fault."""
    folder = os.environ.get("E2E_FAULTS")
    if not folder or not (program := Path(folder) / fault).exists():
        pytest.skip(f"E2E_FAULTS has no program {fault}: this installation cannot inject the fault")
    return program


def in_the_middle(kubeflow, run_id):
    """Wait until the training has reported a few epochs; returns the name of its pod."""
    for _ in range(300):
        found = tracking.find_run(kubeflow.mlflow, run_id)
        if found and len(kubeflow.mlflow.get_metric_history(found, "val_loss")) >= 3:
            return training_pod(kubeflow, run_id).metadata.name
        time.sleep(1)
    pytest.fail("the training reported no epochs within five minutes")
