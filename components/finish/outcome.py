"""Outcome of a run, from its Argo Workflow and pods.

KFP's own status is unreliable: `PipelineTaskFinalStatus.state` is `RUNNING` after a driver's failure, after a
terminated run, and after some successes, and its message is always empty. While the exit handler runs, the Argo
Workflow has the facts: its spec states whether a person terminated it, and each node has a phase. The pods have the
termination messages of the steps.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tilepipe.components.shared.runtime.cluster import nodes_of

State = Literal["succeeded", "failed", "terminated"]

_FAILED_PHASES = {"Failed", "Error"}
_DELETED = (
    "Its pod was deleted, for example by preemption or because its node was drained, before Argo recorded its end; "
    "Argo does not retry such pods. "
    "An administrator can set ARGO_POD_STATUS_CAPTURE_FINALIZER=true in Argo's workflow-controller."
)
_NEVER_STARTED = (
    "Its pod ended before the step began, for example because it was deleted while it started; Argo does not retry "
    "such pods. "
    "Submit the run again: steps that have ended come from the cache."
)


@dataclass(frozen=True)
class Outcome:
    """End state of a run; after a failure, also the first task that failed, and the reason."""

    state: State
    failed_task: str = ""
    reason: str = ""


def from_note(state: str, note: str) -> Outcome:
    """Determine the outcome of a local run from KFP's state and the `<step>: <reason>` of a failed step."""
    if state == "SUCCEEDED":
        return Outcome("succeeded")
    task, separator, reason = note.partition(": ")
    return Outcome("failed", task if separator else "", reason if separator else note)


def from_cluster(workflow: dict[str, Any], pods: Sequence[Any], end_of_log: Callable[[str], str]) -> Outcome:
    """Determine the outcome of a run on a cluster.

    Args:
        workflow: the Argo Workflow, as the API server gives it, while the exit handler's own pod still runs.
        pods: its pods, as `kubernetes.client.V1Pod`.
        end_of_log: returns the end of a pod's log, for a step without a termination message.

    Returns:
        The outcome; if several tasks failed, it names the one that ended first.
    """
    spec = workflow.get("spec", {})
    # KFP's API terminates a run by a deadline of 0 (seen in 2.17); Argo's own tools by `shutdown`.
    if spec.get("shutdown") or spec.get("activeDeadlineSeconds") == 0:
        return Outcome("terminated", reason="The run was terminated by a person.")
    nodes = nodes_of(workflow)
    failed = [node for node in nodes if node.get("type") == "Pod" and node.get("phase") in _FAILED_PHASES]
    # A failed attempt does not fail its task if a later attempt succeeded.
    retries = [node for node in nodes if node.get("type") == "Retry" and node.get("phase") == "Succeeded"]
    retried = {child for node in retries for child in node.get("children", [])}
    failed = [node for node in failed if node["id"] not in retried]
    if not failed:
        return Outcome("succeeded")
    first = min(failed, key=lambda node: (node.get("finishedAt") or "9", node["id"]))
    id_key = "workflows.argoproj.io/node-id"
    pod = next((pod for pod in pods if (pod.metadata.annotations or {}).get(id_key) == first["id"]), None)
    task, is_driver = _task_of(first, pod)
    reason = "" if pod is None else _termination_message(pod)
    if not reason and pod is not None:
        reason = end_of_log(pod.metadata.name)
    reason = reason or str(first.get("message") or "no reason is known; see the log of its pod")
    if reason == "pod deleted":
        reason = _DELETED
    elif reason.startswith("Pod failed before "):  # Argo's inferFailedReason: a container was still waiting
        reason = f"{_NEVER_STARTED} Argo said: {reason.rstrip(': ')}."
    if is_driver:
        reason = f"KFP's driver failed before the step began: {reason}"
    return Outcome("failed", task, reason.removeprefix(f"{task.partition('-')[0]}: "))


def _task_of(node: dict[str, Any], pod: Any) -> tuple[str, bool]:  # noqa: ANN401
    """Return the name of the task, and True if its driver failed.

    A driver's node is named `<task>-driver`; a container's is named `executor`, below the node of its task.
    """
    name = str(node.get("displayName", ""))
    if name.endswith("-driver"):
        return name.removesuffix("-driver"), True
    parts = [part for part in str(node.get("name", "")).split(".") if not part.startswith("executor")]
    labels = {} if pod is None else (pod.metadata.labels or {})
    task = labels.get("pipelines.kubeflow.org/task_name") or (parts[-1] if len(parts) > 1 else name)
    return str(task).split("(")[0], False


def _termination_message(pod: Any) -> str:  # noqa: ANN401
    if pod.status.reason == "Evicted":  # its containers may have neither a state nor a log
        return f"Its pod was evicted: {str(pod.status.message or '').strip()}"
    for container in pod.status.container_statuses or []:
        state = container.state.terminated
        if container.name != "main" or state is None:
            continue
        if state.reason == "OOMKilled":
            return "It used more memory than its limit, and was killed. Raise the limit."
        return str(state.message or "").strip()
    return ""
