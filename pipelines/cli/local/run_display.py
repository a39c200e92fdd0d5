"""Terminal output of `tilepipe run`: one line per step, the metrics, and the addresses of the results."""

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tilepipe.components.shared.logs.log_format import escape_controls
from tilepipe.components.shared.storage import storage
from tilepipe.components.train.checkpoints.intervals import CheckpointOptions
from tilepipe.pipelines.cli.compilation.compiled_pipeline import CompiledPipeline
from tilepipe.pipelines.cli.local.runner import LocalRun, StepState

_PLAIN_INTERVAL_SECONDS = 10.0
_TRAINING = {"train", "tune", "refit"}
"""Steps with checkpoints."""


class Steps:
    """Progress of the steps: lines that are redrawn in a terminal, plain lines elsewhere.

    Args:
        console: The console to print to.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=True, refresh_per_second=4) if console.is_terminal else None
        self._last_plain: dict[str, float] = {}
        self._shown: dict[tuple[str, str], int] = {}  # number of warnings and results of a step that were printed

    def __enter__(self) -> Self:
        """Start the display."""
        if self._live:
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the display; the finished lines stay."""
        if self._live:
            self._live.__exit__(kind, error, traceback)

    def show(self, step: StepState) -> None:
        """Print the newest state of a step."""
        for line in self._new(step.task, "warnings", step.warnings):
            text = Text(f"{step.name:<9} warning: {escape_controls(line)}", style="yellow")
            self._console.print(text, soft_wrap=True)
        for line in self._new(step.task, "results", step.results):
            self._console.print(Text(f"{'':<12}{escape_controls(line)}"), soft_wrap=True)
        if step.ended is not None:
            if self._live:
                self._live.update(Text(""))
            self._console.print(_line(step), soft_wrap=True)
        elif self._live:
            self._live.update(_line(step))
        elif step.message and step.seconds - self._last_plain.get(step.task, 0.0) >= _PLAIN_INTERVAL_SECONDS:
            self._last_plain[step.task] = step.seconds
            self._console.print(_line(step), soft_wrap=True)

    def _new(self, task: str, kind: str, lines: Sequence[str]) -> Sequence[str]:
        """Return the lines that were added since the last call."""
        shown = self._shown.get((task, kind), 0)
        self._shown[task, kind] = len(lines)
        return lines[shown:]


def _state(step: StepState) -> str:
    if step.ended is None:
        return "running"
    if not step.succeeded:
        return "failed"
    return "cached" if step.is_reused else "ok"


_SHOWN_STATES = {"running": ("...", "dim"), "failed": ("FAILED", "red"), "cached": ("cached", "green")}


def _line(step: StepState) -> Text:
    state, style = _SHOWN_STATES.get(_state(step), ("ok", "green"))
    line = Text(f"{step.name:<9} ")
    line.append(f"{state:<7}", style=style)
    line.append(f"{step.seconds:6.1f} s  ")
    line.append(escape_controls(step.message))
    return line


def result(console: Console, run: LocalRun) -> None:
    """Print the metrics, results and MLflow command of a run; or what failed, why, and where the log is."""
    console.print()
    if run.failure:
        failed = run.failed_step
        where = f"{failed.name} failed" if failed else "the run failed"
        reason, *more = run.failure.splitlines() or [""]  # the whole reason is in the line of the step
        console.print(Text(f"{where}: {escape_controls(reason)}{' ...' if more else ''}", style="red"), soft_wrap=True)
        console.print(f"log: {run.log}", soft_wrap=True)
        return
    evaluations = _evaluations(run)
    if not run.steps:
        console.print("No step ran: the list that the pipeline loops over is empty.")
    for name, metrics in evaluations.items():
        _print_metrics(console, metrics, name if len(evaluations) > 1 else "Metrics")
    for name, address in _results(run):
        console.print(Text(f"{name}: {address}"), soft_wrap=True)
    if run.tracking_uri.startswith("sqlite:"):
        command = f"{_program('mlflow')} server --backend-store-uri {shlex.quote(run.tracking_uri)}"
        console.print(f"MLflow: {command}", soft_wrap=True)
        console.print(f"        then open http://127.0.0.1:5000/{run.mlflow_page}", soft_wrap=True)
    else:
        console.print(Text(f"MLflow: {_address(run)}"), soft_wrap=True)
    for name, metrics in evaluations.items():
        if line := _headline(metrics):
            of = f"{name}: " if len(evaluations) > 1 else ""
            console.print(Text(f"{of}{line}", style="bold"), soft_wrap=True)


def interrupted(console: Console, pipeline: CompiledPipeline) -> None:
    """Print how an interrupted run continues, with what holds for trainings if the pipeline has one."""
    text = "interrupted: the same command continues. It reuses finished steps"
    if any(task.step in _TRAINING for task in pipeline.tasks):
        minutes = CheckpointOptions().checkpoint_every_seconds / 60
        text += f", and a training resumes from its last checkpoint (one every {minutes:g} minutes"
        if "train_options" in pipeline.parameters:
            text += ", unless train_options has checkpoint_every_seconds or checkpoint_every_epochs"
        text += ")"
    text += "."
    console.print(f"\n{text}", soft_wrap=True)


def as_document(pipeline: str, run: LocalRun) -> dict[str, Any]:
    """Describe a finished run for `--output json`."""
    failed = run.failed_step
    evaluations = {} if run.failure else _evaluations(run)
    return {
        "pipeline": pipeline,
        "status": "failed" if run.failure else "succeeded",
        "failure": {"step": failed.name if failed else "", "reason": run.failure} if run.failure else None,
        "folder": str(run.folder),
        "log": str(run.log),
        "steps": [
            {
                "name": step.name,
                "task": step.task,
                "status": _state(step),
                "seconds": round(step.seconds, 3),
                "message": step.message,
                "warnings": step.warnings,
            }
            for step in run.steps
        ],
        "metrics": next(iter(evaluations.values())) if len(evaluations) == 1 else evaluations,
        "results": [] if run.failure else [{"name": name, "address": address} for name, address in _results(run)],
        "mlflow": _address(run),
    }


def _address(run: LocalRun) -> str:
    address = storage.shown(run.tracking_uri)
    return f"{address.rstrip('/')}/{run.mlflow_page}" if storage.is_web(run.tracking_uri) else address


def _results(run: LocalRun) -> Iterator[tuple[str, str]]:
    """Yield the name and the address of each result that people read."""
    for step in run.steps:
        shown = _SHOWN_OUTPUTS.get(step.name)
        for _, artifacts in run.outputs(step.task) if shown else ():
            if shown in artifacts:  # a component of another project may have the same name
                yield shown, str(artifacts[shown]["uri"])
    for page in sorted(run.folder.rglob("page.html")):
        yield "page", str(page)


def _program(name: str) -> str:
    """Return the command of a program of this environment, which may not be on the PATH."""
    path = Path(sys.executable).with_name(name)
    if not path.is_file():
        return name
    return shlex.quote(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))


_MAIN_FIGURES = frozenset(
    {
        "accuracy",
        "balanced_accuracy",
        "calibration_error",
        "loss",
        "macro_f1",
        "macro_precision",
        "macro_recall",
        "tiles",
    }
)
"""Figures of a split that fit into a terminal; the report has all of them."""


_SHOWN_OUTPUTS = {"evaluate": "report", "export": "bundle", "select": "comparison"}
"""Step -> name of the output whose address is shown."""


def _evaluations(run: LocalRun) -> dict[str, dict[str, float]]:
    """Return all figures of each evaluation, by the name of its task; a pipeline of one's own may have several."""
    return {
        name: {
            figure: value
            for figure, value in sorted(artifacts["metrics"]["metadata"].items())
            if isinstance(value, int | float)
        }
        for step in run.steps
        if step.name == "evaluate"
        for name, artifacts in run.outputs(step.task)
        if "metrics" in artifacts
    }


def _print_metrics(console: Console, metrics: Mapping[str, float], title: str) -> None:
    if not metrics:
        return
    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column("metric")
    table.add_column("value", justify="right")
    for name, value in metrics.items():
        if name.partition("_")[2] in _MAIN_FIGURES:
            table.add_row(name, f"{value:,.0f}" if float(value).is_integer() and abs(value) > 1 else f"{value:.4f}")
    console.print(table)


def _headline(metrics: Mapping[str, float]) -> str:
    """Return the main figures on the test tiles, or on the validation tiles if there are none; empty without any."""
    for split in ("test", "val"):
        if f"{split}_accuracy" in metrics:
            figures = [
                f"{name.replace('_', ' ')} {metrics[f'{split}_{name}']:.4f}"
                for name in ("accuracy", "balanced_accuracy", "macro_f1", "loss")
                if f"{split}_{name}" in metrics
            ]
            tiles = metrics.get(f"{split}_tiles", 0)
            return f"{split}: {', '.join(figures)}; {tiles:,.0f} tiles"
    return ""
