"""A real Kubeflow, named by the environment; without one, all tests in this folder are skipped with a reason.

KFP_ENDPOINT             the pipelines API, such as http://127.0.0.1:8888
KFP_NAMESPACE            namespace of the runs [kubeflow]
KFP_UI_URL               Kubeflow's pages, for the tests in a browser
TILEPIPE_IMAGE_REGISTRY  registry from which the nodes pull the images [ghcr.io/tilepipe]
E2E_S3_ENDPOINT          address of the tiles' object store from this machine
E2E_S3_BUCKET            a bucket in it [tilepipe-e2e], created if it is missing
E2E_RUNS_BUCKET          the runs' bucket in the same store [mlpipeline]
E2E_MLFLOW_URI           address of the tracking server from this machine
AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY   for the bucket, from this machine; the pods take theirs from the Secret
KUBECONFIG               the cluster
E2E_FAULTS               a folder of programs, each of which takes one service away for a while (test_chaos_cluster.py)

The addresses from this machine must be at 127.0.0.1, such as those of forwarded ports: tests connect to nothing else.
The namespace must have the label pod-security.kubernetes.io/enforce=restricted.
"""

import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.measure import Figure, report
from tilepipe.components.shared.tracking import tracking

FIGURES: list[Figure] = []


@dataclass(frozen=True)
class Kubeflow:
    """Clients and names of the installation."""

    endpoint: str
    namespace: str
    bucket: Any
    """boto3 Bucket with the tiles."""
    artifacts: Any
    """boto3 Bucket with the artifacts of the runs."""
    runs: Any
    """kfp_server_api.RunServiceApi."""
    core: Any
    """kubernetes.client.CoreV1Api."""
    objects: Any
    """kubernetes.client.CustomObjectsApi."""
    mlflow: Any

    def tilepipe(self, *words: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Run the command line as a user does, against this installation."""
        command = [sys.executable, "-W", "ignore", "-m", "tilepipe.pipelines.cli.app", *words]
        environment = {**os.environ, "KFP_ENDPOINT": self.endpoint, "KFP_NAMESPACE": self.namespace}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=2400, check=False)
        if check and done.returncode:
            pytest.fail(f"tilepipe {' '.join(words)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def run(self, run_id: str) -> Any:
        """A run, with its tasks."""
        return self.runs.run_service_get_run(run_id)

    def wait(self, run_id: str, seconds: int = 1500) -> Any:
        """A run, once it has ended."""
        for _ in range(seconds // 3):
            run = self.run(run_id)
            if run.state in {"SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"}:
                return run
            time.sleep(3)
        pytest.fail(f"run {run_id} has not ended in {seconds} s")

    def states(self, run_id: str) -> dict[str, str]:
        """Task -> state, of the tasks that run a container."""
        details = self.run(run_id).run_details
        tasks = (details.task_details if details else None) or []
        return {task.display_name: task.state for task in tasks if "-" in (task.display_name or "")}

    def workflow(self, run_id: str) -> dict[str, Any]:
        """The Argo Workflow of a run."""
        items = self.objects.list_namespaced_custom_object(
            "argoproj.io", "v1alpha1", self.namespace, "workflows", label_selector=f"pipeline/runid={run_id}"
        )["items"]
        return dict(items[0])

    def executors(self, run_id: str, task: str) -> int:
        """Number of pods that ran the container of a task."""
        return len(self.executor_pods(run_id, task))

    def executor_pods(self, run_id: str, task: str) -> list[Any]:
        """Return the pods that ran the container of a task."""
        return [pod for pod in self.pods(run_id) if f"{task}.executor" in node_name(pod)]

    def files(self, run_id: str, name: str) -> list[bytes]:
        """Contents of the artifacts of a run whose addresses end so."""
        keys = [item.key for item in self.artifacts.objects.all() if f"/{run_id}/" in item.key]
        return [self.artifacts.Object(key).get()["Body"].read() for key in sorted(keys) if key.endswith(name)]

    def pods(self, run_id: str) -> Sequence[Any]:
        """The pods of a run."""
        return list(
            self.core.list_namespaced_pod(self.namespace, label_selector=f"pipeline/runid={run_id}").items
        )  # fmt: skip


@pytest.fixture(scope="session")
def kubeflow():
    endpoint = os.environ.get("KFP_ENDPOINT")
    if not endpoint:
        pytest.skip("KFP_ENDPOINT is not set: there is no Kubeflow to test against")
    import boto3
    import kfp_server_api
    from kubernetes import client, config

    config.load_kube_config()
    os.environ["MLFLOW_TRACKING_URI"] = os.environ["E2E_MLFLOW_URI"]
    configuration = kfp_server_api.Configuration(host=endpoint)
    s3 = boto3.resource("s3", endpoint_url=os.environ["E2E_S3_ENDPOINT"], region_name="us-east-1")
    bucket = s3.Bucket(os.environ.get("E2E_S3_BUCKET", "tilepipe-e2e"))
    if bucket.creation_date is None:
        bucket.create()
    return Kubeflow(
        endpoint=endpoint,
        namespace=os.environ.get("KFP_NAMESPACE", "kubeflow"),
        bucket=bucket,
        artifacts=s3.Bucket(os.environ.get("E2E_RUNS_BUCKET", "mlpipeline")),
        runs=kfp_server_api.RunServiceApi(kfp_server_api.ApiClient(configuration)),
        core=client.CoreV1Api(),
        objects=client.CustomObjectsApi(),
        mlflow=tracking.client(),
    )


@pytest.fixture(scope="session")
def pipeline_yaml(kubeflow, tmp_path_factory) -> Path:
    """`train_classifier`, compiled for the images of this cluster."""
    folder = tmp_path_factory.mktemp("compiled")
    kubeflow.tilepipe("compile", "train_classifier", "--out", str(folder))
    return folder / "train_classifier.yaml"


@pytest.fixture(scope="session")
def sample(kubeflow, tmp_path_factory) -> str:
    """Address of the catalog of a synthetic sample in the bucket."""
    return upload_sample(kubeflow, tmp_path_factory.mktemp("sample") / "sample", f"sample-{uuid.uuid4().hex[:8]}")


def upload_sample(kubeflow: Kubeflow, folder: Path, prefix: str, tiles_per_class: int = 20) -> str:
    """Upload a sample to the bucket; returns the address of its catalog."""
    from concurrent.futures import ThreadPoolExecutor

    from tilepipe.pipelines.cli.sample.sample import write_sample

    write_sample(folder, tiles_per_class=tiles_per_class)
    files = [path for path in folder.rglob("*") if path.is_file()]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda p: kubeflow.bucket.upload_file(str(p), f"{prefix}/{p.relative_to(folder)}"), files))
    return f"s3://{kubeflow.bucket.name}/{prefix}/catalog.json"


SMALL = ["train_epochs=1", "train_batch_size=16", 'model_options={"filters": [8, 8, 8, 8], "dense_units": 16}']
SMALL += ["tracking_experiment=e2e"]
"""Parameters of a run whose steps take seconds."""


def submit(kubeflow: Kubeflow, yaml: Path, *words: str, check: bool = True) -> tuple[str, Any]:
    """Submit a run; returns its id, and the finished process of the command line.

    Of several values of a parameter, the last one counts.
    """
    last = {word.partition("=")[0]: word for word in words}
    done = kubeflow.tilepipe("submit", str(yaml), *last.values(), check=check)
    return run_id_in(done.stdout), done


def seconds(node: Mapping[str, str]) -> float:
    """Return the seconds between the start and the end of a node of a Workflow, or of a whole Workflow's status."""
    began, ended = (datetime.fromisoformat(node[key]) for key in ("startedAt", "finishedAt"))
    return (ended - began).total_seconds()


def node_name(pod: Any) -> str:
    """Return the name of a pod's node in its Workflow, with the names of the groups and of the task that it is in."""
    return str((pod.metadata.annotations or {}).get("workflows.argoproj.io/node-name", ""))


def own_seconds(kubeflow: Kubeflow, run_id: str) -> dict[str, float]:
    """Return the seconds of each task's own container, without drivers and pod start."""
    found = {}
    for pod in kubeflow.pods(run_id):
        name = node_name(pod)
        main = next((s for s in pod.status.container_statuses or [] if s.name == "main"), None)
        if ".executor" in name and main is not None and main.state.terminated is not None:
            ended = main.state.terminated
            found[name.split(".executor")[0].split(".")[-1]] = (ended.finished_at - ended.started_at).total_seconds()
    return found


def run_id_in(text: str) -> str:
    """Return the id of the run that `tilepipe submit` printed."""
    found = re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", text)
    if found is None:
        pytest.fail(f"no run id in: {text}")
    return found[0]


def pytest_sessionfinish() -> None:
    """Print the measurements and write them to a file."""
    if FIGURES:
        report("e2e", FIGURES)
