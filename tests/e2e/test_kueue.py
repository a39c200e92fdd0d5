"""A run in a queue of Kueue on a real Kubeflow: steps wait for quota, drivers do not, and a preempted training resumes.

The queue is that of manifests/options/kueue under other names, with less quota. Argo's workflow-controller needs
ARGO_POD_STATUS_CAPTURE_FINALIZER=true, as manifests/platform/README.md says.
"""

import time
import uuid
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import SMALL, node_name, submit
from tests.e2e.test_chaos_cluster import EPOCHS, in_the_middle
from tests.e2e.test_train_classifier import mlflow_run, training_pod

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2700)]

OPTION = Path(__file__).parents[2] / "manifests" / "options" / "kueue"
NAME = "tilepipe-e2e"
URGENT = "tilepipe-e2e-urgent"
_KUEUE = ("kueue.x-k8s.io", "v1beta2")
_QUEUE, _PRIORITY = "kueue.x-k8s.io/queue-name", "kueue.x-k8s.io/priority-class"
_QUOTA = {"cpu": "4", "memory": "6Gi", "nvidia.com/gpu": "1"}
_HELD_MINUTES = 1
"""Time in which nothing may start; a KFP driver and the pod of its task take about 20 seconds."""


@pytest.fixture(scope="module")
def queue(kubeflow):
    """The option's queue without quota, a class of a high priority, and the settings that name the queue."""
    from kubernetes import client

    if _KUEUE[0] not in {group.name for group in client.ApisApi().get_api_versions().groups}:
        pytest.skip("the cluster has no Kueue")
    _delete(kubeflow)
    for path in ("resource_flavor", "cluster_queue", "local_queue"):
        resource = yaml.safe_load((OPTION / f"{path}.yaml").read_text(encoding="utf-8"))
        resource["metadata"]["name"] = NAME
        if path == "cluster_queue":
            resource["spec"]["resourceGroups"] = _groups(dict.fromkeys(_QUOTA, "0"))
        if path == "local_queue":
            resource["spec"]["clusterQueue"] = NAME
            kubeflow.objects.create_namespaced_custom_object(*_KUEUE, kubeflow.namespace, "localqueues", resource)
        else:
            kubeflow.objects.create_cluster_custom_object(*_KUEUE, path.replace("_", "") + "s", resource)
    urgent = {
        "apiVersion": "/".join(_KUEUE),
        "kind": "WorkloadPriorityClass",
        "metadata": {"name": URGENT},
        "value": 1000,
    }
    kubeflow.objects.create_cluster_custom_object(*_KUEUE, "workloadpriorityclasses", urgent)
    yield NAME
    _delete(kubeflow)


@pytest.fixture(scope="module")
def held(kubeflow, queue, sample, tmp_path_factory):
    """Id of a run whose first step has been held back for a while, its pods at that time, and what `submit` said."""
    settings = tmp_path_factory.mktemp("kueue") / "platform.yaml"
    settings.write_text(yaml.safe_dump({"pods": {"labels": {_QUEUE: queue}}}), encoding="utf-8")
    kubeflow.tilepipe("compile", "train_classifier", "--settings", str(settings))
    place = f"train_checkpoint_uri=s3://{kubeflow.bucket.name}/kueue-{uuid.uuid4().hex[:8]}"
    words = [f"data_source={sample}", *SMALL, f"train_epochs={EPOCHS}", place, "export_enabled=false"]
    words += ['train_options={"checkpoint_every_seconds": 1}', "train_memory_limit=3Gi"]
    words += ["--no-cache", "--settings", str(settings), f"--timeout-minutes={_HELD_MINUTES}"]
    run_id, done = submit(kubeflow, "train-classifier", *words, check=False)
    return run_id, kubeflow.pods(run_id), done.stdout + done.stderr


@pytest.fixture(scope="module")
def ended(kubeflow, held):
    """The run once it had quota, and a pod of a higher priority in the middle of its training; its pods of training."""
    run_id, *_ = held
    kubeflow.objects.patch_cluster_custom_object(
        *_KUEUE, "clusterqueues", NAME, {"spec": {"resourceGroups": _groups(_QUOTA)}}
    )
    _await(lambda: _trainings(kubeflow, run_id), "the training", seconds=1200)
    in_the_middle(kubeflow, run_id)
    first = training_pod(kubeflow, run_id)
    _start_urgent_pod(kubeflow, next(c.image for c in first.spec.containers if c.name == "main"))
    _await(lambda: _has_started(kubeflow.core.read_namespaced_pod(URGENT, kubeflow.namespace)), "the urgent pod")
    _await(lambda: any(_is_gated(pod) for pod in _trainings(kubeflow, run_id)), "the second pod of the training")
    kubeflow.core.delete_namespaced_pod(URGENT, kubeflow.namespace, grace_period_seconds=0)
    return kubeflow.wait(run_id)


def test_without_quota_a_step_waits_and_no_driver_does(held):
    _, pods, said = held
    steps = [pod for pod in pods if ".executor" in node_name(pod)]
    assert steps
    drivers = [pod for pod in pods if ".executor" not in node_name(pod)]
    assert [node_name(pod) for pod in steps if not _is_gated(pod)] == []
    assert {pod.status.phase for pod in drivers} == {"Succeeded"}
    assert [pod for pod in drivers if _QUEUE in pod.metadata.labels] == []
    assert "insufficient quota for" in said


def test_a_run_whose_training_is_preempted_ends_well(kubeflow, held, ended):
    run_id, *_ = held
    assert ended.state == "SUCCEEDED", kubeflow.states(run_id)
    assert mlflow_run(kubeflow, run_id).info.status == "FINISHED"
    (second,) = [pod for pod in _trainings(kubeflow, run_id) if pod.status.phase == "Succeeded"]
    log = kubeflow.core.read_namespaced_pod_log(second.metadata.name, kubeflow.namespace, container="main")
    assert "resuming from epoch" in log
    history = kubeflow.mlflow.get_metric_history(mlflow_run(kubeflow, run_id).info.run_id, "val_loss")
    assert sorted({metric.step for metric in history}) == list(range(1, EPOCHS + 1))


def test_every_step_was_in_the_queue(kubeflow, held, ended):
    run_id, *_ = held
    pods = [pod for pod in kubeflow.pods(run_id) if ".executor" in node_name(pod)]
    assert {pod.metadata.labels[_QUEUE] for pod in pods} == {NAME}
    found = kubeflow.objects.list_namespaced_custom_object(*_KUEUE, kubeflow.namespace, "workloads")["items"]
    names = {owner["name"] for item in found for owner in item["metadata"].get("ownerReferences", [])}
    assert {pod.metadata.name for pod in pods} <= names


def _groups(quota):
    resources = [{"name": name, "nominalQuota": amount} for name, amount in quota.items()]
    return [{"coveredResources": list(quota), "flavors": [{"name": NAME, "resources": resources}]}]


def _is_gated(pod):
    return "kueue.x-k8s.io/admission" in {gate.name for gate in pod.spec.scheduling_gates or []}


def _has_started(pod):
    return pod.status.phase == "Running"


def _trainings(kubeflow, run_id):
    return [pod for pod in kubeflow.pods(run_id) if "train-model.executor" in node_name(pod)]


def _await(condition, what, seconds=600):
    for _ in range(seconds):
        if condition():
            return
        time.sleep(1)
    pytest.fail(f"{what} did not appear in {seconds} s")


def _start_urgent_pod(kubeflow, image):
    """Start a pod that needs the memory that the training has."""
    from kubernetes import client

    container = client.V1Container(
        name="main",
        image=image,
        image_pull_policy="IfNotPresent",
        command=["sleep", "3600"],
        resources=client.V1ResourceRequirements(requests={"cpu": "100m", "memory": "4Gi"}),
        security_context=client.V1SecurityContext(
            allow_privilege_escalation=False, capabilities=client.V1Capabilities(drop=["ALL"])
        ),
    )
    spec = client.V1PodSpec(
        containers=[container],
        restart_policy="Never",
        security_context=client.V1PodSecurityContext(
            run_as_non_root=True,
            run_as_user=65532,
            seccomp_profile=client.V1SeccompProfile(type="RuntimeDefault"),
        ),
    )
    metadata = client.V1ObjectMeta(name=URGENT, labels={_QUEUE: NAME, _PRIORITY: URGENT})
    kubeflow.core.create_namespaced_pod(kubeflow.namespace, client.V1Pod(metadata=metadata, spec=spec))


def _delete(kubeflow):
    """Delete all that these tests create; a ClusterQueue disappears once nothing in it runs."""
    from kubernetes.client import ApiException

    objects = kubeflow.objects
    for delete, *where in (
        (kubeflow.core.delete_namespaced_pod, URGENT, kubeflow.namespace),
        (objects.delete_namespaced_custom_object, *_KUEUE, kubeflow.namespace, "localqueues", NAME),
        (objects.delete_cluster_custom_object, *_KUEUE, "clusterqueues", NAME),
        (objects.delete_cluster_custom_object, *_KUEUE, "resourceflavors", NAME),
        (objects.delete_cluster_custom_object, *_KUEUE, "workloadpriorityclasses", URGENT),
    ):
        try:
            delete(*where)
        except ApiException as error:
            if error.status != 404:
                raise
