"""`train_classifier` on a real Kubeflow as users run it, with every way in which a run can end."""

import hashlib
import json
import tempfile
import time
import uuid
import warnings
from pathlib import Path

import keras
import pytest

from tests.e2e.conftest import FIGURES, SMALL, own_seconds, seconds, submit, upload_sample
from tests.support.measure import Figure
from tilepipe.components.shared import images
from tilepipe.components.shared.runtime.cluster import nodes_of
from tilepipe.components.shared.tracking import tracking

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2700)]

STEPS = {"ingest-tiles", "pack-tiles", "merge-packed", "prepare-model", "train-model", "evaluate-model"}
STEPS |= {"export-model", "register-model"}


def mlflow_run(kubeflow, run_id):
    found = tracking.find_run(kubeflow.mlflow, run_id)
    assert found, f"no MLflow run of {run_id}"
    return kubeflow.mlflow.get_run(found)


@pytest.fixture(scope="module")
def first_run(kubeflow, pipeline_yaml, sample):
    """Id and arguments of a finished run."""
    arguments = [f"data_source={sample}", *SMALL]
    run_id, done = submit(kubeflow, pipeline_yaml, *arguments)
    assert kubeflow.run(run_id).state == "SUCCEEDED", done.stdout
    return run_id, arguments


def test_a_run_from_the_bucket_to_the_report(kubeflow, first_run):
    run_id, _ = first_run
    assert mlflow_run(kubeflow, run_id).info.status == "FINISHED"
    logged = mlflow_run(kubeflow, run_id).data.params
    assert json.loads(logged["model_options"])["dense_units"] == 16
    assert "split_by" not in logged  # as by default
    metrics = mlflow_run(kubeflow, run_id).data.metrics
    assert metrics["test_tiles"] == 30
    assert metrics["test_loss"] > 0

    stored = {item.key for item in kubeflow.artifacts.objects.all() if f"/{run_id}/" in item.key}
    for name in ("tiles.parquet", "manifest.json", "model.keras", "report.html", "predictions.parquet"):
        assert any(key.endswith(name) for key in stored), f"no {name} in {kubeflow.artifacts.name}"

    own = own_seconds(kubeflow, run_id)
    assert own.keys() >= STEPS
    nodes = kubeflow.workflow(run_id)["status"]
    whole = seconds(nodes)
    for task, spent in sorted(own.items()):
        FIGURES.append(Figure(f"cluster.{task.partition('-')[0]}", spent, "s own"))
    FIGURES.append(Figure("cluster.overhead", whole - sum(own.values()), "s of the cluster's"))
    FIGURES.append(Figure("cluster.run", whole, "s in all"))


def test_every_pod_ran_restricted(kubeflow, first_run):
    namespace = kubeflow.core.read_namespace(kubeflow.namespace)
    enforced = (namespace.metadata.labels or {}).get("pod-security.kubernetes.io/enforce")
    assert enforced == "restricted", "label the namespace, so that the profile is enforced while the tests run"
    run_id, _ = first_run
    for pod in kubeflow.pods(run_id):
        assert pod.status.phase == "Succeeded", pod.metadata.name


def test_the_same_run_again_comes_from_the_cache(kubeflow, pipeline_yaml, first_run):
    _, arguments = first_run
    run_id, _ = submit(kubeflow, pipeline_yaml, *arguments)
    assert kubeflow.run(run_id).state == "SUCCEEDED"
    ran = own_seconds(kubeflow, run_id).keys()
    again = ran & STEPS - {"register-model"}  # not cached: the registry may have changed
    assert not again, f"{again} ran again"
    assert tracking.find_run(kubeflow.mlflow, run_id) == "", "a cached run opened an MLflow run"
    FIGURES.append(Figure("cluster.cached_run", seconds(kubeflow.workflow(run_id)["status"]), "s in all"))


def test_two_pods_pack_what_one_would(kubeflow, pipeline_yaml, sample):
    options = 'pack_options={"shard_mebibytes": 4}'
    run_ids = [
        submit(kubeflow, pipeline_yaml, f"data_source={sample}", *SMALL, options, f"pack_workers={workers}")[0]
        for workers in (1, 2)
    ]
    digests, packers = [], []
    for run_id in run_ids:
        keys = [item.key for item in kubeflow.artifacts.objects.all() if f"/{run_id}/" in item.key]
        manifests = [key for key in keys if "/merge-packed/" in key and key.endswith("manifest.json")]
        assert len(manifests) == 1
        manifest = json.loads(kubeflow.artifacts.Object(manifests[0]).get()["Body"].read())
        assert len(manifest["splits"]["train"]["shards"]) > 1
        digests.append(manifest["digest"])
        packers.append(kubeflow.executors(run_id, "pack-tiles"))
    assert packers == [1, 2]
    assert digests[0] == digests[1]


def test_a_training_whose_pod_is_deleted_ends_with_the_same_model(kubeflow, pipeline_yaml, sample):
    """An evicted pod has under a second: it resumes from the last checkpoint after Argo has started it again."""
    prefix = f"checkpoints-{uuid.uuid4().hex[:8]}"
    place = f"s3://{kubeflow.bucket.name}/{prefix}"
    # Long enough to be killed in the middle. Both runs are the same, except that only the killed one has checkpoints.
    words = [f"data_source={sample}", *SMALL, "train_epochs=60", 'train_augmentation=["flip", "shift"]']
    undisturbed, _ = submit(kubeflow, pipeline_yaml, *words)
    words += [f"train_checkpoint_uri={place}", 'train_options={"checkpoint_every_seconds": 1}']
    run_id, _ = submit(kubeflow, pipeline_yaml, *words, "--no-wait")
    pod = training_pod(kubeflow, run_id)
    states = lambda: sorted(o.key for o in kubeflow.bucket.objects.filter(Prefix=prefix) if "/state-" in o.key)  # noqa: E731
    for _ in range(600):
        if len(seen := states()) and int(seen[-1].split("/state-")[1][:6]) >= 4:
            break
        time.sleep(0.5)
    assert seen, "no checkpoint was written"
    kubeflow.core.delete_namespaced_pod(pod.metadata.name, kubeflow.namespace, grace_period_seconds=0)
    assert kubeflow.wait(run_id).state == "SUCCEEDED"
    again = kubeflow.executor_pods(run_id, "train-model")
    assert any("resuming from epoch" in _log(kubeflow, p) for p in again), "it started over"
    assert not states(), "a training that has ended well leaves no checkpoints"
    assert weights(kubeflow, run_id) == weights(kubeflow, undisturbed)
    runs = kubeflow.mlflow.search_runs(
        [mlflow_run(kubeflow, run_id).info.experiment_id], f"tags.`{tracking.KFP_RUN_TAG}` = '{run_id}'"
    )
    assert len(runs) == 1
    steps = [m.step for m in kubeflow.mlflow.get_metric_history(runs[0].info.run_id, "val_loss")]
    assert steps == list(range(1, 61))


def test_a_training_streams_its_shards(kubeflow, sample, tmp_path):
    """Its pod gets addresses of shards instead of copies, and trains like the other one."""
    kubeflow.tilepipe("compile", "train_classifier_streaming", "--out", str(tmp_path))
    words = [f"data_source={sample}", *SMALL, 'train_options={"placement": "streamed"}']
    run_id, _ = submit(kubeflow, tmp_path / "train_classifier_streaming.yaml", *words)
    assert kubeflow.run(run_id).state == "SUCCEEDED"
    assert mlflow_run(kubeflow, run_id).info.status == "FINISHED"


def _log(kubeflow, pod):
    return kubeflow.core.read_namespaced_pod_log(pod.metadata.name, kubeflow.namespace, container="main")


def weights(kubeflow, run_id):
    """Return the digest of the trained weights; the whole file contains times."""
    stored = (o.key for o in kubeflow.artifacts.objects.all() if f"/{run_id}/" in o.key)
    (key,) = (key for key in stored if key.endswith("model.keras") and "/train-model/" in key)
    content = kubeflow.artifacts.Object(key).get()["Body"].read()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        path.write_bytes(content)
        weights = keras.saving.load_model(path, compile=False).get_weights()
    return hashlib.sha256(b"".join(array.tobytes() for array in weights)).hexdigest()


def test_a_failing_task_is_named_with_its_reason(kubeflow, pipeline_yaml, sample):
    run_id, done = submit(
        kubeflow, pipeline_yaml, f"data_source={sample}", 'data_bands=["B02", "B99"]', *SMALL, check=False
    )
    assert done.returncode == 1
    assert "B99" in done.stdout + done.stderr
    run = mlflow_run(kubeflow, run_id)
    assert run.info.status == "FAILED"
    assert run.data.tags[tracking.FAILED_STEP_TAG] == "pack-tiles"
    assert "B99" in run.data.tags[tracking.FAILURE_TAG]
    assert json.loads(run.data.params["data_bands"]) == ["B02", "B99"]  # of a step that has no run of its own


def test_a_retry_supplies_what_was_missing(kubeflow, pipeline_yaml, tmp_path):
    prefix = f"late-{uuid.uuid4().hex[:8]}"
    catalog = f"s3://{kubeflow.bucket.name}/{prefix}/catalog.json"
    run_id, _ = submit(kubeflow, pipeline_yaml, f"data_source={catalog}", *SMALL, "--no-wait")
    for _ in range(100):
        failed = [n for n in nodes_of(kubeflow.workflow(run_id))
                  if "ingest-tiles.executor(0)" in n["name"] and n.get("phase") == "Failed"]  # fmt: skip
        if failed:
            break
        time.sleep(2)
    assert failed, "ingest did not fail on a catalog that is missing"
    upload_sample(kubeflow, tmp_path / "sample", prefix)
    assert kubeflow.wait(run_id).state == "SUCCEEDED"
    assert mlflow_run(kubeflow, run_id).info.status == "FINISHED"


def test_a_gpu_is_scheduled_by_selector_and_toleration(kubeflow, pipeline_yaml, sample):
    """Training waits for a GPU in use and gets it on a tainted node; if TensorFlow sees none, the message says so."""
    node = next(n for n in kubeflow.core.list_node().items if "nvidia.com/gpu" in (n.status.allocatable or {}))
    before = node.spec.taints
    words = [f"data_source={sample}", *SMALL, "train_gpu_count=1", 'train_node_selector={"accelerator": "gpu"}']
    words.append('train_tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]')
    filler = _occupy_gpus(kubeflow, node)
    try:
        run_id, _ = submit(kubeflow, pipeline_yaml, *words, "--no-wait")
        pod = training_pod(kubeflow, run_id)
        assert pod.status.phase == "Pending"
        taint = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
        kubeflow.core.patch_node(node.metadata.name, {"spec": {"taints": [taint]}})
        kubeflow.core.delete_namespaced_pod(filler, kubeflow.namespace, grace_period_seconds=0)
        for _ in range(60):
            pod = training_pod(kubeflow, run_id)
            if pod.spec.node_name:
                break
            time.sleep(1)
    finally:
        kubeflow.core.patch_node(node.metadata.name, {"spec": {"taints": before}})
    assert pod.spec.node_name == node.metadata.name, "the toleration did not get it onto the tainted node"
    assert pod.spec.node_selector["accelerator"] == "gpu"
    main = next(c for c in pod.spec.containers if c.name == "main")
    assert main.resources.limits["nvidia.com/gpu"] == "1"
    if kubeflow.wait(run_id).state == "FAILED":  # a simulated GPU, or an image without CUDA
        run = mlflow_run(kubeflow, run_id)
        assert run.info.status == "FAILED"
        assert run.data.tags[tracking.FAILED_STEP_TAG] == "train-model"
        assert "nvidia.com/gpu" in run.data.tags[tracking.FAILURE_TAG]


def _occupy_gpus(kubeflow, node):
    """Start a pod that uses every GPU of the node; yields its name."""
    name, count = f"e2e-gpus-{uuid.uuid4().hex[:6]}", node.status.allocatable["nvidia.com/gpu"]
    security = {"runAsNonRoot": True, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "main",
        "image": images.DATA,
        "command": ["python3", "-c", "import time; time.sleep(900)"],
        "resources": {"limits": {"nvidia.com/gpu": count, "cpu": "10m", "memory": "64Mi"}},
        "securityContext": {**security, "seccompProfile": {"type": "RuntimeDefault"}},
    }
    pod = {"metadata": {"name": name}, "spec": {"restartPolicy": "Never", "containers": [container]}}
    kubeflow.core.create_namespaced_pod(kubeflow.namespace, pod)
    for _ in range(60):
        if kubeflow.core.read_namespaced_pod(name, kubeflow.namespace).status.phase == "Running":
            return name
        time.sleep(1)
    pytest.fail("the pod that takes the GPUs did not start")


def training_pod(kubeflow, run_id):
    for _ in range(150):
        if pods := kubeflow.executor_pods(run_id, "train-model"):
            return pods[0]
        time.sleep(2)
    pytest.fail("training was not reached within five minutes")


def test_a_gpu_that_no_node_has_is_reported_at_once(kubeflow, pipeline_yaml, sample):
    began = time.monotonic()
    done = kubeflow.tilepipe(
        "submit", str(pipeline_yaml), f"data_source={sample}", *SMALL, "train_gpu_count=64", check=False
    )
    assert done.returncode == 2
    assert "nvidia.com/gpu" in done.stdout + done.stderr
    assert time.monotonic() - began < 30


def test_a_terminated_run_is_killed_in_mlflow(kubeflow, pipeline_yaml, sample):
    run_id, _ = submit(kubeflow, pipeline_yaml, f"data_source={sample}", *SMALL, "seed=5", "--no-wait")
    for _ in range(100):
        if any("pack-tiles" in str(p.metadata.annotations) for p in kubeflow.pods(run_id)):
            break
        time.sleep(2)
    kubeflow.runs.run_service_terminate_run(run_id)
    kubeflow.wait(run_id)
    for _ in range(60):  # the exit handler still runs after the run has its final state
        if tracking.find_run(kubeflow.mlflow, run_id):
            break
        time.sleep(2)
    assert mlflow_run(kubeflow, run_id).info.status == "KILLED"


@pytest.mark.parametrize("how", ["tilepipe schedule", "kfp, a pinned version"])
def test_a_recurring_run_reads_its_source_again(kubeflow, pipeline_yaml, first_run, how):
    _, arguments = first_run
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    remove = _schedule(kubeflow, pipeline_yaml, name, arguments, how)
    try:
        fired = _first_run_of(kubeflow, name)
        assert kubeflow.wait(fired).state == "SUCCEEDED"
        ran = own_seconds(kubeflow, fired).keys()
        assert "ingest-tiles" in ran, "the source was not read again"
    finally:
        remove()


def _schedule(kubeflow, yaml, name, arguments, how):
    if how == "tilepipe schedule":
        kubeflow.tilepipe("upload", str(yaml))
        kubeflow.tilepipe("schedule", name, str(yaml), "--every-minutes", "1", *arguments)
        return lambda: kubeflow.tilepipe("schedule", name, "--delete")
    import kfp

    with warnings.catch_warnings():  # a warning that it only works with KFP 2
        warnings.simplefilter("ignore", FutureWarning)
        client = kfp.Client(host=kubeflow.endpoint, namespace=kubeflow.namespace)
    pipeline = client.upload_pipeline(str(yaml), pipeline_name=name)
    version = client.list_pipeline_versions(pipeline.pipeline_id).pipeline_versions[0]
    experiment = client.create_experiment("e2e", namespace=kubeflow.namespace)
    values = dict(word.split("=", 1) for word in arguments)
    values.update({"train_epochs": 1, "train_batch_size": 16, "model_options": json.loads(values["model_options"])})
    made = client.create_recurring_run(
        experiment.experiment_id, name, interval_second=60, max_concurrency=1, no_catchup=True,
        pipeline_id=pipeline.pipeline_id, version_id=version.pipeline_version_id, params=values,
    )  # fmt: skip
    return lambda: client.delete_recurring_run(made.recurring_run_id)


def _first_run_of(kubeflow, name):
    for _ in range(100):
        listed = kubeflow.runs.run_service_list_runs(page_size=100, sort_by="created_at desc").runs or []
        found = [run for run in listed if name in (run.display_name or "")]
        if found:
            return found[-1].run_id
        time.sleep(3)
    pytest.fail(f"{name} did not fire within five minutes")
