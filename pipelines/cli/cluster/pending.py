"""Reasons why a pod does not start, and remedies."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tilepipe.components.shared.runtime.cluster import nodes_of
from tilepipe.pipelines.cli.cluster.requirements import TaskNeeds

_EVENTS = {"FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox", "FailedScheduling"}
PULL_FAILURES = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"}
_NOT_YET = " not registered"
"""End of the kubelet's message about a Secret or ConfigMap that it has not looked up yet; it tries again soon."""
_LONGEST = 400
_OTHER = {
    "Queued": "Kueue holds the pod until its queue admits it: see `kubectl get localqueues`. The run waits.",
    "SchedulingGated": (
        "A controller such as Kueue holds the pod until its queue has quota: see `kubectl get workloads` and "
        "`kubectl get localqueues`. The run waits."
    ),
}


@dataclass(frozen=True)
class Obstacle:
    """Reason why a task does not start.

    Args:
        task: name of the task.
        kind: stable name of the reason, such as `Unschedulable`, so that it is reported once.
        message: message of Kubernetes.
        advice: remedy.
    """

    task: str
    kind: str
    message: str
    advice: str


def task_of(node_name: str) -> str:
    """Return the task that a node of the Argo Workflow belongs to.

    Args:
        node_name: name such as `wf-x7.root.exit-handler-1.train.executor(0)` or `wf-x7.root.train-driver`.
    """
    parts = [re.sub(r"\(.*\)$", "", part) for part in node_name.split(".")[1:]]
    parts = [part for part in parts if part != "executor"]
    return parts[-1].removesuffix("-driver") if parts else node_name


def task_of_pod(pod: Any) -> str:  # noqa: ANN401
    """Return the task of a pod; for one without Argo's annotation, the name of the pod."""
    return task_of((pod.metadata.annotations or {}).get("workflows.argoproj.io/node-name", pod.metadata.name))


def of_pod(
    pod: Any,  # noqa: ANN401
    events: Sequence[Any],
    tasks: Mapping[str, TaskNeeds],
    queued: str = "",
) -> Iterator[Obstacle]:
    """Yield the reasons why a pod does not start, from its status and its events.

    Args:
        pod: the pod, a `V1Pod`.
        events: its warnings, as `CoreV1Event`.
        tasks: task -> its requirements, which name the parameters to change.
        queued: why a queue holds it, if that is known.
    """
    task = task_of_pod(pod)
    needs = tasks.get(task)
    for condition in pod.status.conditions or []:
        if condition.type == "PodScheduled" and condition.status == "False":
            reason, message = condition.reason or "Unschedulable", condition.message or ""
            if queued and reason == "SchedulingGated":
                reason, message = "Queued", queued
            yield _obstacle(task, reason, message, needs)
    containers = [*(pod.status.init_container_statuses or []), *(pod.status.container_statuses or [])]
    for container in containers:
        state = container.state.waiting if container.state else None
        if state and state.reason not in {None, "ContainerCreating", "PodInitializing"}:
            yield _obstacle(task, state.reason, state.message or "", needs)
    for event in events:
        if event.reason in _EVENTS - {"FailedScheduling"} and _NOT_YET not in (event.message or ""):
            yield _obstacle(task, event.reason, event.message or "", needs)


def of_workflow(workflow: Mapping[str, Any], tasks: Mapping[str, TaskNeeds]) -> Iterator[Obstacle]:
    """Yield the reasons why pods are not created (quotas, admission, rights), from the nodes of the Workflow."""
    for node in nodes_of(workflow):
        message = str(node.get("message") or "")
        if node.get("type") == "Pod" and node.get("phase") in {"Pending", "Error"} and "forbidden" in message:
            task = task_of(str(node.get("name", "")))
            message = without_argos_words(message)
            yield _obstacle(task, "Forbidden", message, tasks.get(task))


def without_argos_words(message: str) -> str:
    """Remove Argo's prefix from a message of Kubernetes."""
    return re.sub(r"^task '[^']*' errored: ", "", message)


def _obstacle(task: str, reason: str, message: str, needs: TaskNeeds | None) -> Obstacle:
    # Kubernetes alternates between two names for one reason while it retries.
    kind = "ErrImagePull" if reason in PULL_FAILURES else reason
    # The scheduler's remarks about preemption add nothing.
    message = re.split(r"\.? (?:no new claims|preemption:)", " ".join(message.split()))[0] or reason
    if len(message) > _LONGEST:
        message = f"{message[:_LONGEST]}..."
    return Obstacle(task, kind, message, advice(reason, message, needs))


def advice(reason: str, message: str, needs: TaskNeeds | None = None) -> str:
    """Return the remedy for a reason that Kubernetes gives.

    Args:
        reason: reason such as `Unschedulable`, `ErrImagePull`, `CreateContainerConfigError`, `FailedMount` or
            `Forbidden`.
        message: message of Kubernetes.
        needs: requirements of the task.

    Returns:
        One or two sentences.
    """
    parameters: Mapping[str, str] = needs.parameters if needs else {}
    if reason in {"Unschedulable", "FailedScheduling", "SchedulerError"}:
        return " ".join(_about_scheduling(message, parameters))
    if reason in PULL_FAILURES:
        where = f" ({parameters['image']})" if "image" in parameters else ""
        hint = f"Check the image's name and tag{where}, and that the nodes may pull it"
        return f"{hint}: the registry must be reachable, and a private one needs an imagePullSecret."
    if reason == "CreateContainerConfigError":
        return _about_configuration(message)
    if reason == "Forbidden":
        return _about_admission(message, parameters)
    if reason in {"FailedMount", "FailedAttachVolume"}:
        return _about_volumes(message)
    return _OTHER.get(reason, "See `kubectl describe pod`, and `kubectl describe node` for its node.")


def _about_volumes(message: str) -> str:
    missing = re.search(r'configmap "([^"]+)" not found', message)
    if missing:
        return f"Create it in the same namespace: `kubectl create configmap {missing[1]} --from-file=...`."
    return "Create the Secret, ConfigMap or volume that it mounts, in the same namespace."


def _about_scheduling(message: str, parameters: Mapping[str, str]) -> Iterator[str]:
    for resource in dict.fromkeys(re.findall(r"Insufficient ([\w./-]*\w)", message)):
        key = resource if resource in {"cpu", "memory"} else "gpu"
        what = f"lower {parameters[key]}" if key in parameters else "request less"
        yield f"Not enough {resource}: {what}, wait for other pods to end, or add a node."
    for taint in dict.fromkeys(re.findall(r"untolerated taint\(?s?\)? \{([^}]*)\}", message)):
        name, _, value = (part.strip() for part in taint.partition(":"))
        if name.startswith("node.kubernetes.io/"):
            yield f"A node is unhealthy ({name}): see `kubectl describe node`."
            continue
        toleration = f'[{{"key": "{name}", "operator": "Exists"}}]'
        parameter = parameters.get("tolerations")
        shown = f"{name}={value}" if value else name
        yield f"The taint {shown} must be tolerated" + (f": {parameter}='{toleration}'." if parameter else ".")
    if "node affinity/selector" in message:
        label = parameters.get("node_selector", "the node selector")
        yield f"No node has the labels of {label}: see `kubectl get nodes --show-labels`."
    if "PersistentVolumeClaim" in message:
        yield "A volume claim is not bound: see `kubectl get pvc`, and storage_class in the platform's settings."
    yield "The run waits until a node can run the task."


def _about_configuration(message: str) -> str:
    missing = re.search(r'(secret|configmap) "([^"]+)" not found', message)
    if missing:
        kind = "Secret" if missing[1] == "secret" else "ConfigMap"
        command = "secret generic" if kind == "Secret" else "configmap"
        return f"Create it in the same namespace: `kubectl create {command} {missing[2]} --from-literal=KEY=...`."
    key = re.search(r"couldn't find key (\S+) in (\w+) (\S+)", message)
    if key:
        return (
            f"Add the key {key[1]} to the {key[2]} {key[3]}: `kubectl edit {key[2].lower()} {key[3].split('/')[-1]}`."
        )
    if "run as root" in message or "non-numeric user" in message:
        return "Use an image with a numeric user other than root, as all of tilepipe's have."
    return "See `kubectl describe pod`."


def _about_admission(message: str, parameters: Mapping[str, str]) -> str:
    if "exceeded quota" in message:
        quota = re.search(r"exceeded quota: ([\w.-]+)", message)
        name = quota[1] if quota else ""
        lower = [parameters[key] for key in ("gpu", "memory", "cpu") if key in parameters]
        less = f"request less ({', '.join(lower)})" if lower else "request less"
        return f"Wait for other runs to end, {less}, or ask for a higher ResourceQuota {name}."
    if "violates PodSecurity" in message:
        return "The namespace enforces Pod Security: compile with this version of tilepipe, whose tasks comply."
    if "LimitRange" in message or "maximum" in message or "minimum" in message:
        return "Stay within the namespace's LimitRange: see `kubectl describe limitrange`."
    return "Grant the service account the missing rights: see `kubectl describe rolebinding`."
