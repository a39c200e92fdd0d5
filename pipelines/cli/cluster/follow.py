"""Watch a run: a word when a task starts and ends, and at once why one does not start."""

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
    task_of,
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
        key: the task's own id, since in a loop several carry one name.
        task: its name.
        state: what became of it.
        seconds: how long it took; 0 until it ended.
    """

    key: str
    task: str
    state: State
    seconds: float = 0.0


@dataclass(frozen=True)
class Notice:
    """Something about the run as a whole."""

    text: str


Message = TaskState | Obstacle | Notice


def follow(
    kubeflow: Kubeflow,
    cluster: Cluster | None,
    run_id: str,
    tasks: Mapping[str, TaskNeeds],
    tell: Callable[[Message], None],
    *,
    timeout_seconds: float | None = None,
) -> RunState:
    """Watch a run until it ends.

    Args:
        kubeflow: the pipelines API, which knows the tasks' states.
        cluster: Kubernetes, which knows why a pod does not start; None does without.
        run_id: the run.
        tasks: task -> what it asked for.
        tell: is given each change once.
        timeout_seconds: how long to watch; None is until the end.

    Returns:
        How the run ended, or `still running` after the time.

    Raises:
        ClusterError: the pipelines API has not answered for a minute; the run goes on.
    """
    began = time.monotonic()
    told: set[object] = set()

    def tell_once(key: object, message: Message) -> None:
        if key not in told:
            told.add(key)
            tell(message)

    while True:
        run = _ask_patiently(kubeflow, run_id, tell)
        if _end(run):  # KFP writes the state of the run first, and those of its tasks a moment later
            time.sleep(_POLL_SECONDS)
            run = _ask_patiently(kubeflow, run_id, tell)
        details = (run.run_details.task_details if run.run_details else None) or []
        end = _end(run)
        for state in task_states(details, tasks, ended=end is not None):
            tell_once((state.key, state.state), state)
        if end is not None:
            return end
        for obstacle in _obstacles(cluster, run_id, tasks):
            tell_once((obstacle.task, obstacle.kind), obstacle)
        if timeout_seconds is not None and time.monotonic() - began > timeout_seconds:
            return "still running"
        time.sleep(_POLL_SECONDS)


def task_states(details: Sequence[Any], names: Collection[str], *, ended: bool) -> Iterator[TaskState]:
    """The states of a run's tasks, in the order in which they began.

    Args:
        details: `V2beta1PipelineTaskDetail` of the run: Argo's nodes, which are also groups, drivers and executors.
        names: names of the tasks that run a container.
        ended: whether the run has ended: what has no state then was never run.

    Yields:
        One state a task that has begun, or never will.
    """
    for detail in sorted(details, key=lambda d: (d.start_time is None, d.start_time, d.display_name or "")):
        name = detail.display_name or ""
        seconds = _seconds(detail)
        # A driver that fails is all there is of its task.
        if name.removesuffix("-driver") in names and name.endswith("-driver") and name not in names:
            if detail.state in {"FAILED", "SYSTEM_ERROR"}:
                yield TaskState(detail.task_id, name.removesuffix("-driver"), "failed", seconds)
            continue
        if name not in names:
            continue
        if detail.state == "SUCCEEDED":
            # No pod is that quick: with its result from the cache, a task begins and ends at once.
            yield TaskState(detail.task_id, name, "ok" if seconds else "cached", seconds)
        elif detail.state in {"FAILED", "SYSTEM_ERROR"}:
            yield TaskState(detail.task_id, name, "failed", seconds)
        elif detail.state in {"RUNNING", "PENDING"}:
            yield TaskState(detail.task_id, name, "started")
        elif ended:
            yield TaskState(detail.task_id, name, "not run")


def explain(cluster: Cluster | None, run_id: str, tasks: Mapping[str, TaskNeeds]) -> Outcome | None:
    """Which task failed first, and why: what the step left as its last word, else the end of its log.

    Args:
        cluster: Kubernetes; without it there is no reason to be had, since KFP keeps none.
        run_id: the run, which has ended.
        tasks: task -> what it asked for.

    Returns:
        The outcome, or None where nothing is known.
    """
    if cluster is None:
        return None
    workflow = cluster.workflow(run_id)
    if not workflow:
        return None
    pods = cluster.pods(run_id)
    outcome = from_cluster(workflow, pods, cluster.end_of_log)
    if outcome.state == "succeeded":  # of all its nodes; so the Workflow itself has been refused or cut off
        return Outcome("failed", reason=str(workflow.get("status", {}).get("message") or ""))
    if any(_killed_for_memory(pod, outcome.failed_task) for pod in pods):
        needs = tasks.get(outcome.failed_task)
        parameter = needs.parameters.get("memory") if needs else None
        raise_it = f"Raise {parameter}." if parameter else "Raise its limit."
        return replace(outcome, reason=f"It used more memory than its limit, and was killed. {raise_it}")
    if " is forbidden: " in outcome.reason:  # its pod was never made
        message = without_argos_words(outcome.reason)
        advised = advice("Forbidden", message, tasks.get(outcome.failed_task))
        return replace(outcome, reason=f"{message}. {advised}")
    return outcome


def pod_of(cluster: Cluster, run_id: str, task: str) -> str:
    """Name of the newest pod of a task that ran the step itself, or of the driver that failed to; empty if gone."""
    pods = [pod for pod in cluster.pods(run_id) if _belongs(pod, task)]
    failed = [pod for pod in pods if not _is_driver(pod) or pod.status.phase == "Failed"]
    pods = sorted(failed, key=lambda pod: (not _is_driver(pod), pod.metadata.creation_timestamp))
    return str(pods[-1].metadata.name) if pods else ""


def _end(run: Any) -> RunState | None:  # noqa: ANN401 - generated model
    """How a run ended, if it has: one that a person terminated ends as FAILED, and was CANCELING before."""
    canceled = any(status.state == "CANCELING" for status in run.state_history or [])
    end = _ENDS.get(run.state)
    return "canceled" if end == "failed" and canceled else end


def _ask_patiently(kubeflow: Kubeflow, run_id: str, tell: Callable[[Message], None]) -> Any:  # noqa: ANN401
    """The run; an API that is away for a moment (a port-forward that breaks) does not end the watch."""
    began, told = time.monotonic(), False
    while True:
        try:
            return kubeflow.call(kubeflow.client.runs.run_service_get_run, run_id)
        except ClusterError as error:
            if time.monotonic() - began > _PATIENCE_SECONDS:
                raise ClusterError(f"{error}\nThe run goes on: {run_id}.") from error
            if not told:
                tell(Notice(f"lost sight of the run, trying again: {error}"))
                told = True
            time.sleep(_POLL_SECONDS)


def _obstacles(cluster: Cluster | None, run_id: str, tasks: Mapping[str, TaskNeeds]) -> Iterator[Obstacle]:
    if cluster is None:
        return
    try:
        for pod in cluster.pods(run_id):
            if pod.status.phase == "Pending":
                yield from of_pod(pod, cluster.warnings_of(pod), tasks)
        yield from of_workflow(cluster.workflow(run_id), tasks)
    except ClusterError:
        return  # the states still come from the pipelines API


def _seconds(detail: Any) -> float:  # noqa: ANN401
    # What has not ended carries the year 0 or 1970 as its end.
    if not isinstance(detail.start_time, datetime.datetime) or not isinstance(detail.end_time, datetime.datetime):
        return 0.0
    return max(0.0, (detail.end_time - detail.start_time).total_seconds())


def _killed_for_memory(pod: Any, task: str) -> bool:  # noqa: ANN401
    states = [c.state.terminated for c in pod.status.container_statuses or [] if c.state]
    return _belongs(pod, task) and any(state and state.reason == "OOMKilled" for state in states)


def _belongs(pod: Any, task: str) -> bool:  # noqa: ANN401
    return task_of((pod.metadata.annotations or {}).get("workflows.argoproj.io/node-name", "")) == task


def _is_driver(pod: Any) -> bool:  # noqa: ANN401
    return bool((pod.metadata.annotations or {}).get("pipelines.kubeflow.org/runtime-role") == "driver")
