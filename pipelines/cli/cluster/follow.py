"""Follow a run: report when a task starts and ends, and immediately why one does not start."""

import datetime
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from tilepipe.components.finish.outcome import Outcome, from_cluster
from tilepipe.components.shared.errors import ClusterError
from tilepipe.pipelines.cli.cluster.access import Cluster
from tilepipe.pipelines.cli.cluster.endpoint import Kubeflow
from tilepipe.pipelines.cli.cluster.pending import (
    Obstacle,
    advice,
    of_pod,
    of_workflow,
    task_of_pod,
    without_argos_words,
)
from tilepipe.pipelines.cli.cluster.requirements import TaskNeeds

State = Literal["started", "ok", "cached", "failed", "not run"]
RunState = Literal["succeeded", "failed", "canceled", "still running"]

_POLL_SECONDS = 2.0
_PATIENCE_SECONDS = 60.0
_ENDS: dict[str, RunState] = {"SUCCEEDED": "succeeded", "FAILED": "failed", "CANCELED": "canceled", "SKIPPED": "failed"}


@dataclass(frozen=True)
class TaskState:
    """The newest state of a task.

    Args:
        key: id of the task, since several tasks of a loop have one name.
        task: name of the task.
        state: its state.
        seconds: its duration; 0 until it ends.
    """

    key: str
    task: str
    state: State
    seconds: float = 0.0


@dataclass(frozen=True)
class Notice:
    """A message about the run as a whole."""

    text: str


Message = TaskState | Obstacle | Notice


def follow(
    kubeflow: Kubeflow,
    cluster: Cluster | None,
    run_id: str,
    tasks: Mapping[str, TaskNeeds],
    report: Callable[[Message], None],
    *,
    timeout_seconds: float | None = None,
) -> RunState:
    """Follow a run until it ends.

    Args:
        kubeflow: the pipelines API, which knows the states of the tasks.
        cluster: access to Kubernetes, which knows why a pod does not start; None to do without.
        run_id: id of the run.
        tasks: task -> its requirements.
        report: called once per change.
        timeout_seconds: how long to follow the run; None for until its end.

    Returns:
        How the run ended, or `still running` after the timeout.

    Raises:
        ClusterError: the pipelines API has not answered for a minute; the run continues.
    """
    began = time.monotonic()
    reported: set[object] = set()

    def report_once(key: object, message: Message) -> None:
        if key not in reported:
            reported.add(key)
            report(message)

    while True:
        run = _get_run(kubeflow, run_id, report)
        if _end(run):  # KFP writes the state of the run first, and those of its tasks a moment later
            time.sleep(_POLL_SECONDS)
            run = _get_run(kubeflow, run_id, report)
        details = (run.run_details.task_details if run.run_details else None) or []
        end = _end(run)
        for state in task_states(details, tasks, ended=end is not None):
            report_once((state.key, state.state), state)
        if end is not None:
            return end
        for obstacle in _obstacles(cluster, run_id, tasks):
            report_once((obstacle.task, obstacle.kind), obstacle)
        if timeout_seconds is not None and time.monotonic() - began > timeout_seconds:
            return "still running"
        time.sleep(_POLL_SECONDS)


def task_states(details: Sequence[Any], names: Collection[str], *, ended: bool) -> Iterator[TaskState]:
    """Yield the states of a run's tasks in the order in which they started.

    Args:
        details: `V2beta1PipelineTaskDetail` of the run: Argo's nodes, which are also groups, drivers and executors.
        names: names of the tasks that run a container.
        ended: whether the run has ended; a task without a state was then never run.

    Yields:
        One state per task that has started, or never will.
    """
    for detail in sorted(details, key=lambda d: (d.start_time is None, d.start_time, d.display_name or "")):
        name = detail.display_name or ""
        seconds = _seconds(detail)
        # If a driver fails, its task has no other node.
        if name.removesuffix("-driver") in names and name.endswith("-driver") and name not in names:
            if detail.state in {"FAILED", "SYSTEM_ERROR"}:
                yield TaskState(detail.task_id, name.removesuffix("-driver"), "failed", seconds)
            continue
        if name not in names:
            continue
        if detail.state == "SUCCEEDED":
            # A task whose result comes from the cache starts and ends in the same second; no pod is that fast.
            yield TaskState(detail.task_id, name, "ok" if seconds else "cached", seconds)
        elif detail.state in {"FAILED", "SYSTEM_ERROR"}:
            yield TaskState(detail.task_id, name, "failed", seconds)
        elif detail.state in {"RUNNING", "PENDING"}:
            yield TaskState(detail.task_id, name, "started")
        elif ended:
            yield TaskState(detail.task_id, name, "not run")


def explain(cluster: Cluster | None, run_id: str, tasks: Mapping[str, TaskNeeds]) -> Outcome | None:
    """Find the task that failed first and its reason: the step's termination message, else the end of its log.

    Args:
        cluster: access to Kubernetes; KFP itself stores no reason.
        run_id: id of the run, which has ended.
        tasks: task -> its requirements.

    Returns:
        The outcome, or None if nothing is known.
    """
    if cluster is None:
        return None
    workflow = cluster.workflow(run_id)
    if not workflow:
        return None
    pods = cluster.pods(run_id)
    outcome = from_cluster(workflow, pods, cluster.end_of_log)
    if outcome.state == "succeeded":  # all nodes succeeded, so the Workflow itself was refused or stopped
        return Outcome("failed", reason=str(workflow.get("status", {}).get("message") or ""))
    if any(_killed_for_memory(pod, outcome.failed_task) for pod in pods):
        needs = tasks.get(outcome.failed_task)
        parameter = needs.parameters.get("memory") if needs else None
        raise_it = f"Raise {parameter}." if parameter else "Raise its limit."
        return replace(outcome, reason=f"It used more memory than its limit, and was killed. {raise_it}")
    if " is forbidden: " in outcome.reason:  # its pod was never created
        message = without_argos_words(outcome.reason)
        advised = advice("Forbidden", message, tasks.get(outcome.failed_task))
        return replace(outcome, reason=f"{message}. {advised}")
    return outcome


def pod_of(cluster: Cluster, run_id: str, task: str) -> str:
    """Return the name of a task's newest pod, or of its driver's if that failed; empty if it is gone."""
    pods = [pod for pod in cluster.pods(run_id) if _belongs(pod, task)]
    failed = [pod for pod in pods if not _is_driver(pod) or pod.status.phase == "Failed"]
    pods = sorted(failed, key=lambda pod: (not _is_driver(pod), pod.metadata.creation_timestamp))
    return str(pods[-1].metadata.name) if pods else ""


def _end(run: Any) -> RunState | None:  # noqa: ANN401 - generated model
    """Return how a run ended, if it has; a run that a user terminated is CANCELING first, and then FAILED."""
    canceled = any(status.state == "CANCELING" for status in run.state_history or [])
    end = _ENDS.get(run.state)
    return "canceled" if end == "failed" and canceled else end


def _get_run(kubeflow: Kubeflow, run_id: str, report: Callable[[Message], None]) -> Any:  # noqa: ANN401
    """Get the run; tries again for a minute if the API does not answer, as when a port-forward breaks."""
    began, reported = time.monotonic(), False
    while True:
        try:
            return kubeflow.call(kubeflow.client.runs.run_service_get_run, run_id)
        except ClusterError as error:
            if time.monotonic() - began > _PATIENCE_SECONDS:
                raise ClusterError(f"{error}\nThe run continues: {run_id}.") from error
            if not reported:
                report(Notice(f"lost the connection, trying again: {error}"))
                reported = True
            time.sleep(_POLL_SECONDS)


def _obstacles(cluster: Cluster | None, run_id: str, tasks: Mapping[str, TaskNeeds]) -> Iterator[Obstacle]:
    if cluster is None:
        return
    try:
        for pod in cluster.pods(run_id):
            if pod.status.phase == "Pending":
                queued = cluster.why_queued(pod) if pod.spec.scheduling_gates else ""
                yield from of_pod(pod, cluster.warnings_of(pod), tasks, queued)
        yield from of_workflow(cluster.workflow(run_id), tasks)
    except ClusterError:
        return  # the states still come from the pipelines API


def _seconds(detail: Any) -> float:  # noqa: ANN401
    # The end of a task that has not ended is in the year 0 or 1970.
    if not isinstance(detail.start_time, datetime.datetime) or not isinstance(detail.end_time, datetime.datetime):
        return 0.0
    return max(0.0, (detail.end_time - detail.start_time).total_seconds())


def _killed_for_memory(pod: Any, task: str) -> bool:  # noqa: ANN401
    states = [c.state.terminated for c in pod.status.container_statuses or [] if c.state]
    return _belongs(pod, task) and any(state and state.reason == "OOMKilled" for state in states)


def _belongs(pod: Any, task: str) -> bool:  # noqa: ANN401
    return task_of_pod(pod) == task


def _is_driver(pod: Any) -> bool:  # noqa: ANN401
    return bool((pod.metadata.annotations or {}).get("pipelines.kubeflow.org/runtime-role") == "driver")
