"""Terminal output of the commands for a cluster."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tilepipe.components.finish.outcome import Outcome
from tilepipe.pipelines.cli.cluster.access import Cluster
from tilepipe.pipelines.cli.cluster.doctor.finding import Finding
from tilepipe.pipelines.cli.cluster.follow import Message, Notice, RunState, State, TaskState, pod_of
from tilepipe.pipelines.cli.cluster.pending import Obstacle
from tilepipe.pipelines.cli.cluster.schedule import RecurringRun
from tilepipe.pipelines.cli.cluster.submit import Run

_STYLES: dict[State, str] = {"started": "dim", "ok": "green", "cached": "green", "failed": "red", "not run": "dim"}
_LEVELS = {"ok": "green", "warning": "yellow", "problem": "red", "skipped": "dim"}


def started(console: Console, run: Run) -> None:
    """Print the name and the address of a run that was started."""
    console.print(Text(f"run {run.name}: {run.page or run.run_id}"))
    if not run.page:
        console.print(Text("(set KFP_UI_ENDPOINT to get a link to the run in the UI)", style="dim"))


def moved(console: Console, asked: str, found: str) -> None:
    """Print that a run is in another namespace than the requested one."""
    if found != asked:
        why = f"this Kubeflow is single-user, so --namespace {asked} has no effect"
        console.print(Text(f"the run is in namespace {found}: {why}", style="yellow"))


def show(console: Console, message: Message) -> None:
    """Print a change in a run that is being followed."""
    if isinstance(message, TaskState):
        line = Text(f"{message.task:<16}")
        line.append(f"{'FAILED' if message.state == 'failed' else message.state:<8}", style=_STYLES[message.state])
        if message.state in {"ok", "failed"}:
            line.append(f"{message.seconds:6.0f} s")
        console.print(line)
    elif isinstance(message, Obstacle):
        console.print(Text(f"{message.task:<16}").append(f"waiting {message.kind}: {message.message}", style="yellow"))
        console.print(Text(f"{'':<16}-> {message.advice}"))
    elif isinstance(message, Notice):
        console.print(Text(message.text, style="yellow"))


def ended(console: Console, run: Run, state: RunState, seconds: float) -> None:
    """Print the final state of a run."""
    style = "green" if state == "succeeded" else "red"
    console.print(Text(f"run {state} after {seconds:.0f} s", style=style).append(f": {run.page or run.run_id}", "none"))


def failure(console: Console, cluster: Cluster | None, run: Run, outcome: Outcome | None) -> None:
    """Print which task failed first, why, and where its log is."""
    if outcome is None:
        console.print(Text("The log of the first failed task, in Kubeflow's UI, shows the reason."))
        return
    if not outcome.failed_task:
        console.print(Text(outcome.reason or "no reason is known", style="red"))
        return
    console.print(Text(f"{outcome.failed_task} failed: {outcome.reason}", style="red"))
    pod = pod_of(cluster, run.run_id, outcome.failed_task) if cluster else ""
    if cluster and pod:
        console.print(Text(f"log: kubectl logs -n {cluster.namespace} {pod} -c main"))


def as_document(run: Run, state: str, tasks: Iterable[TaskState], outcome: Outcome | None) -> dict[str, Any]:
    """Describe a run for `--output json`."""
    return {
        "run_id": run.run_id,
        "name": run.name,
        "page": run.page,
        "status": state,
        "tasks": [asdict(task) for task in tasks],
        "failure": {"task": outcome.failed_task, "reason": outcome.reason} if outcome else None,
    }


def left_running(console: Console, url: str, run: Run) -> None:
    """Print that the run continues without being followed, and how to terminate it."""
    console.print(Text(f"\nthe run continues: {run.page or run.run_id}"))
    console.print(Text(f"to terminate it: curl -X POST {url}/apis/v2beta1/runs/{run.run_id}:terminate"))


def schedules(console: Console, runs: Sequence[RecurringRun]) -> None:
    """Print a table of recurring runs."""
    if not runs:
        console.print("no recurring runs")
        return
    table = Table(header_style="bold")
    for column in ("name", "trigger", "state", "parameters"):
        table.add_column(column, overflow="fold")
    for run in runs:
        given = ", ".join(f"{name}={value}" for name, value in sorted(run.arguments.items()))
        table.add_row(run.name, str(run.trigger), "enabled" if run.enabled else "paused", Text(given))
    console.print(table)


def finding(console: Console, found: Finding) -> None:
    """Print the result of one check of `doctor`."""
    line = Text(f"{found.level:<8}", style=_LEVELS[found.level])
    line.append(f"{found.subject:<27} ", style="bold").append(found.detail, style="none")
    console.print(line)
    if found.advice:
        console.print(Text(f"{'':<36}-> {found.advice}"))


def findings_summary(console: Console, found: Sequence[Finding]) -> bool:
    """Print the number of findings of each level; returns whether any is a problem."""
    count = {level: sum(one.level == level for one in found) for level in _LEVELS}
    warnings, problems = (
        f"{count[level]} {level}{'' if count[level] == 1 else 's'}" for level in ("warning", "problem")
    )
    console.print(Text(f"\n{count['ok']} ok, {warnings}, {problems}, {count['skipped']} not checked"))
    return count["problem"] > 0
