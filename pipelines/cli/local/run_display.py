"""Terminal output of `tilepipe run`: one line per step, the metrics, and where the results are."""

import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tilepipe.components.shared.runtime.log_format import escape_controls
from tilepipe.components.shared.storage import storage
from tilepipe.pipelines.cli.compilation import compiled_pipeline
from tilepipe.pipelines.cli.local.runner import LocalRun, StepState

_PLAIN_INTERVAL_SECONDS = 10.0


class Steps:
    """Progress of the steps: lines that are redrawn in a terminal, plain lines elsewhere.

    Args:
        console: The console to print to.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=True, refresh_per_second=4) if console.is_terminal else None
        self._last_plain: dict[str, float] = {}

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
        if step.ended is not None:
            if self._live:
                self._live.update(Text(""))
            self._console.print(_line(step), soft_wrap=True)
            for warning in step.warnings:
                self._console.print(Text(f"            warning: {warning}", style="yellow"), soft_wrap=True)
        elif self._live:
            self._live.update(_line(step))
        elif step.message and step.seconds - self._last_plain.get(step.task, 0.0) >= _PLAIN_INTERVAL_SECONDS:
            self._last_plain[step.task] = step.seconds
            self._console.print(_line(step), soft_wrap=True)


def _line(step: StepState) -> Text:
    state, style = "...", "dim"
    if step.ended is not None:
        state, style = ("cached" if step.is_reused else "ok", "green") if step.succeeded else ("FAILED", "red")
    line = Text(f"{step.name:<9} ")
    line.append(f"{state:<7}", style=style)
    line.append(f"{step.seconds:6.1f} s  ")
    line.append(escape_controls(step.message))
    return line


def result(console: Console, run: LocalRun) -> None:
    """Print metrics, report, pages and the MLflow command of a run, or what failed, why and where the log is."""
    console.print()
    if run.failure:
        failed = run.failed_step
        where = f"{failed.name} failed" if failed else "the run failed"
        console.print(Text(f"{where}: {escape_controls(run.failure)}", style="red"), soft_wrap=True)
        console.print(f"log: {run.log}", soft_wrap=True)
        return
    for step in run.steps:
        if step.name == "evaluate":
            _metrics(console, run, step.task)
        if step.name == "export":
            console.print(f"bundle: {run.outputs(step.task)['bundle']['uri']}", soft_wrap=True)
        if step.name == "select":
            console.print(f"comparison: {run.outputs(step.task)['comparison']['uri']}", soft_wrap=True)
    for page in sorted(run.folder.rglob("page.html")):
        console.print(f"page: {page}", soft_wrap=True)
    if run.tracking_uri.startswith("sqlite:"):
        command = f"{_program('mlflow')} server --backend-store-uri {run.tracking_uri}"
        console.print(f"MLflow: {command}", soft_wrap=True)
        console.print("        then open http://127.0.0.1:5000")
    else:
        console.print(Text(f"MLflow: {storage.shown(run.tracking_uri)}"), soft_wrap=True)


def _program(name: str) -> str:
    """Return the command of a program of this environment, which may not be on the PATH."""
    path = Path(sys.executable).with_name(name)
    if not path.is_file():
        return name
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


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


def _metrics(console: Console, run: LocalRun, task: str) -> None:
    outputs = run.outputs(task)
    table = Table(title="Metrics", title_justify="left", header_style="bold")
    table.add_column("metric")
    table.add_column("value", justify="right")
    for name, value in sorted(outputs["metrics"]["metadata"].items()):
        if isinstance(value, int | float) and name.partition("_")[2] in _MAIN_FIGURES:
            table.add_row(name, f"{value:,.0f}" if float(value).is_integer() and abs(value) > 1 else f"{value:.4f}")
    console.print(table)
    console.print(f"report: {outputs['report']['uri']}", soft_wrap=True)


def run_help(console: Console, name: str) -> None:
    """Print the help of `tilepipe run` with the parameters of a pipeline."""
    pipeline = compiled_pipeline.load(name)
    console.print("Usage: tilepipe run PIPELINE [--config FILE] [--folder FOLDER] [NAME=VALUE]...\n", markup=False)
    console.print("Run a compiled pipeline on this machine, and record it in a local MLflow store.\n")
    console.print("  --config FILE    YAML file of parameters; NAME=VALUE overrides it.")
    console.print("  --folder FOLDER  Folder for runs and the MLflow store. [default: runs]\n", markup=False)
    console.print(f"Pipelines: {', '.join(compiled_pipeline.names())}\n")
    table = Table(title=f"Parameters of {pipeline.name}", title_justify="left", header_style="bold")
    for column in ("name", "type", "default", "description"):
        table.add_column(column, overflow="fold")
    for parameter in pipeline.parameters.values():
        default = "required" if parameter.required else repr(parameter.default)
        table.add_row(
            parameter.name, parameter.type.removeprefix("NUMBER_").lower(), Text(default), Text(parameter.description)
        )
    console.print(table)
