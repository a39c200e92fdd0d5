"""Reasons why pods do not start; the messages are those of a real Kubernetes 1.34."""

import pytest
from kubernetes import client

from tilepipe.pipelines.cli.cluster.pending import advice, of_pod, of_workflow, task_of
from tilepipe.pipelines.cli.cluster.requirements import TaskNeeds

NEEDS = TaskNeeds(
    "train-model",
    "train",
    "registry.invalid/none:1",
    {"nvidia.com/gpu": "9"},
    parameters={
        "gpu": "train_gpu_count",
        "memory": "train_memory_limit",
        "image": "train_image",
        "tolerations": "train_tolerations",
        "node_selector": "train_node_selector",
    },
)
UNSCHEDULABLE = (
    "0/3 nodes are available: 1 Insufficient nvidia.com/gpu, 1 node(s) didn't match Pod's node affinity/selector, "
    "1 node(s) had untolerated taint {nvidia.com/gpu: present}. no new claims to deallocate, preemption: 0/3 nodes are "
    "available: 3 Preemption is not helpful for scheduling."
)
PULL = 'failed to pull and unpack image "registry.invalid/none:1": failed to resolve reference: no such host'


def pod(conditions=(), waiting=None):
    statuses = []
    if waiting:
        state = client.V1ContainerState(waiting=client.V1ContainerStateWaiting(reason=waiting[0], message=waiting[1]))
        statuses = [
            client.V1ContainerStatus(
                name="main", image="i", image_id="", ready=False, restart_count=0, started=False, state=state
            )
        ]
    return client.V1Pod(
        metadata=client.V1ObjectMeta(
            name="wf-x-impl-1", annotations={"workflows.argoproj.io/node-name": "wf-x.root.all.train-model.executor(0)"}
        ),
        status=client.V1PodStatus(phase="Pending", conditions=list(conditions), container_statuses=statuses),
    )


def unscheduled(message):
    return client.V1PodCondition(type="PodScheduled", status="False", reason="Unschedulable", message=message)


def obstacles(found, events=()):
    return list(of_pod(found, events, {"train-model": NEEDS}))


def test_a_pod_that_a_queue_holds():
    gated = client.V1PodCondition(
        type="PodScheduled",
        status="False",
        reason="SchedulingGated",
        message="Scheduling is blocked due to non-empty scheduling gates",
    )
    (found,) = obstacles(pod([gated]))
    assert found.kind == "SchedulingGated"
    assert "Kueue holds the pod until its queue has quota" in found.advice
    (found,) = of_pod(pod([gated]), (), {}, queued="LocalQueue tiels doesn't exist")
    assert (found.kind, found.message) == ("Queued", "LocalQueue tiels doesn't exist")
    assert "kubectl get localqueues" in found.advice
    (found,) = of_pod(pod([unscheduled(UNSCHEDULABLE)]), (), {}, queued="no quota")
    assert found.kind == "Unschedulable"


def test_a_config_map_that_cannot_be_mounted():
    message = 'MountVolume.SetUp failed for volume "tilepipe-network" : configmap "tilepipe-network" not found'
    assert "kubectl create configmap tilepipe-network --from-file" in advice("FailedMount", message)


def test_a_pod_that_no_node_takes():
    (found,) = obstacles(pod([unscheduled(UNSCHEDULABLE)]))
    assert (found.task, found.kind) == ("train-model", "Unschedulable")
    assert found.message.endswith("{nvidia.com/gpu: present}")  # preemption adds nothing
    assert "Not enough nvidia.com/gpu: lower train_gpu_count" in found.advice
    assert 'train_tolerations=\'[{"key": "nvidia.com/gpu", "operator": "Exists"}]\'' in found.advice
    assert "No node has the labels of train_node_selector" in found.advice


def test_not_enough_memory():
    (found,) = obstacles(pod([unscheduled("0/1 nodes are available: 1 Insufficient memory.")]))
    assert "lower train_memory_limit" in found.advice


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff", "InvalidImageName"])
def test_an_image_that_cannot_be_pulled_is_one_thing(reason):
    (found,) = obstacles(pod(waiting=(reason, PULL)))
    assert found.kind == "ErrImagePull"
    assert "no such host" in found.message
    assert "(train_image)" in found.advice


def test_a_pod_on_its_way_is_not_in_the_way():
    assert obstacles(pod(waiting=("PodInitializing", None))) == []
    assert obstacles(pod()) == []


def mount_event(message):
    return client.CoreV1Event(
        metadata=client.V1ObjectMeta(name="e"),
        involved_object=client.V1ObjectReference(),
        reason="FailedMount",
        message=message,
    )


def test_a_volume_that_cannot_be_mounted():
    event = mount_event('MountVolume.SetUp failed for volume "v" : secret "s" not found')
    (found,) = obstacles(pod(), [event])
    assert found.kind == "FailedMount"
    assert "same namespace" in found.advice


def test_a_mount_before_the_kubelet_has_looked_up_its_objects_is_no_obstacle():
    message = 'MountVolume.SetUp failed for volume "v" : object "kubeflow"/"kube-root-ca.crt" not registered'
    assert obstacles(pod(), [mount_event(message)]) == []


def test_a_pod_that_was_never_made():
    said = 'pods "wf-x-driver-1" is forbidden: exceeded quota: tight, requested: pods=1, used: pods=0, limited: pods=0'
    message = f"task 'wf-x.root.train-model-driver' errored: {said}"
    nodes = {
        "a": {"type": "Pod", "phase": "Pending", "name": "wf-x.root.train-model-driver", "message": message},
        "b": {"type": "Pod", "phase": "Running", "name": "wf-x.root.other.executor"},
        "c": {"type": "DAG", "phase": "Running", "name": "wf-x.root"},
    }
    (found,) = of_workflow({"status": {"nodes": nodes}}, {"train-model": NEEDS})
    assert (found.task, found.kind, found.message) == ("train-model", "Forbidden", said)
    assert "ResourceQuota tight" in found.advice
    assert "train_gpu_count" in found.advice
    assert list(of_workflow({}, {})) == []


@pytest.mark.parametrize(
    ("reason", "message", "expected"),
    [
        (
            "CreateContainerConfigError",
            'secret "no-such-secret" not found',
            "kubectl create secret generic no-such-secret",
        ),
        ("CreateContainerConfigError", 'configmap "c" not found', "kubectl create configmap c"),
        (
            "CreateContainerConfigError",
            "couldn't find key KEY in Secret kubeflow/tilepipe-s3",
            "Add the key KEY to the Secret kubeflow/tilepipe-s3: `kubectl edit secret tilepipe-s3`.",
        ),
        (
            "CreateContainerConfigError",
            "container has runAsNonRoot and image will run as root (pod: ...)",
            "numeric user other than root",
        ),
        ("Forbidden", 'pods "p" is forbidden: violates PodSecurity "restricted:latest": ...', "Pod Security"),
        (
            "Forbidden",
            'pods "p" is forbidden: maximum memory usage per Container is 4Gi, but limit is 8Gi',
            "LimitRange",
        ),
        (
            "Forbidden",
            'pods is forbidden: User "system:serviceaccount:a:b" cannot create resource "pods"',
            "missing rights",
        ),
        ("Unschedulable", "pod has unbound immediate PersistentVolumeClaims", "kubectl get pvc"),
        ("RunContainerError", "exec failed", "kubectl describe pod"),
    ],
)
def test_advice(reason, message, expected):
    assert expected in advice(reason, message)


@pytest.mark.parametrize(
    ("node", "task"),
    [
        ("tp-7x.root.train-classifier.train-model.executor(1)", "train-model"),
        ("tp-7x.root.train-classifier.train-model-driver", "train-model"),
        ("tp-7x.root.exit-handler-1.onExit.finish-run.executor", "finish-run"),
        ("tp-7x.root-driver", "root"),
        ("tp-7x", "tp-7x"),
    ],
)
def test_tasks_behind_argos_nodes(node, task):
    assert task_of(node) == task
