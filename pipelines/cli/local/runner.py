"""Run a compiled pipeline on this machine: the YAML itself, by `kfp.local`, with one readable line a step."""

import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from tilepipe.pipelines.cli.compilation.compiled_pipeline import CompiledPipeline

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_STARTED = re.compile(r"INFO - Executing task '([\w-]+)'")
_ENDED = re.compile(r"Task '([\w-]+)' finished with status (\w+)")
_STEP_LINE = re.compile(r"(INFO|WARNING|ERROR) tilepipe\.(\w+): (.*)")


@dataclass
class StepState:
    """What is known of one step of a running pipeline; a loop's iterations are one step."""

    task: str
    name: str
    started: float = field(default_factory=time.monotonic)
    ended: float | None = None
    succeeded: bool = True
    running: int = 0
    """How many iterations are under way; one where there is no loop."""
    message: str = ""
    """The newest line that the step wrote."""
    warnings: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """How long it has been running, or ran."""
        return (self.ended or time.monotonic()) - self.started


@dataclass(frozen=True)
class LocalRun:
    """A finished local run."""

    folder: Path
    """Where its artifacts are: `<folder>/<task>/<output>`."""
    log: Path
    tracking_uri: str
    steps: tuple[StepState, ...]
    failure: str
    """Of a failed run, the reason; empty otherwise."""
    is_user_error: bool
    """Whether the user can mend what stopped it."""

    @property
    def failed_step(self) -> StepState | None:
        """The first step that failed."""
        return next((step for step in self.steps if step.ended and not step.succeeded), None)

    def outputs(self, task: str) -> dict[str, Any]:
        """Output artifacts of a task: name -> `{"uri": ..., "metadata": ...}`."""
        path = self.folder / task / "executor_output.json"
        written = json.loads(path.read_text(encoding="utf-8"))
        return {name: found["artifacts"][0] for name, found in written.get("artifacts", {}).items()}


def run_locally(
    pipeline: CompiledPipeline,
    arguments: Mapping[str, Any],
    folder: Path,
    on_change: Callable[[StepState], None],
) -> LocalRun:
    """Run a pipeline's YAML on this machine.

    Args:
        pipeline: the compiled pipeline.
        arguments: checked arguments.
        folder: where runs live; this one gets a folder of its own in it, and the MLflow store and the checkpoints of
            trainings that have not ended are beside.
        on_change: called with a step whenever it starts, says something or ends.

    Returns:
        What happened; a failed pipeline is no exception here.
    """
    root = folder / f"{pipeline.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:4]}"
    root.mkdir(parents=True)
    log, note = root / "run.log", root / "termination-log"
    note.touch()
    tracking_uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder.resolve() / 'mlflow.db'}"
    environment = {
        **os.environ,
        "KFP_RUN_ID": str(uuid.uuid4()),
        "MLFLOW_TRACKING_URI": tracking_uri,
        "PYTHONUNBUFFERED": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TILEPIPE_TERMINATION_LOG": str(note.resolve()),
    }
    command = [sys.executable, "-m", "tilepipe.pipelines.cli.local.worker"]
    command += [str(pipeline.path), str(root), json.dumps(with_checkpoints(pipeline, arguments, folder))]
    steps: dict[str, StepState] = {}
    errors: list[str] = []
    names = {task.name: task.step for task in pipeline.tasks}
    with log.open("w", encoding="utf-8") as sink, _started(command, environment) as process:
        assert process.stdout is not None  # noqa: S101 - for the type checker; PIPE was asked for
        for line in _lines(process.stdout, sink):
            _follow(line, steps, names, errors, on_change)
    said = note.read_text(encoding="utf-8")
    failure = ""
    if process.returncode:
        failure = said.partition(": ")[2] or f"kfp.local stopped with code {process.returncode}"
    return LocalRun(
        folder=_artifact_folder(root),
        log=log,
        tracking_uri=tracking_uri,
        steps=tuple(steps.values()),
        failure=failure,
        is_user_error=bool(errors),
    )


def with_checkpoints(pipeline: CompiledPipeline, arguments: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Give a training a place for its checkpoints where the user has named none: killed here, it goes on here.

    Args:
        pipeline: the compiled pipeline.
        arguments: checked arguments; an address that is empty on purpose stays so.
        folder: where runs live.

    Returns:
        The arguments of the run.
    """
    if "train_checkpoint_uri" not in pipeline.parameters:
        return dict(arguments)
    return {"train_checkpoint_uri": str(folder.resolve() / "checkpoints"), **arguments}


def _started(command: list[str], environment: dict[str, str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
    )


def _lines(stream: IO[str], sink: IO[str]) -> Iterator[str]:
    for line in stream:
        sink.write(line)
        yield _ANSI.sub("", line).rstrip()


def _follow(
    line: str,
    steps: dict[str, StepState],
    names: Mapping[str, str],
    errors: list[str],
    on_change: Callable[[StepState], None],
) -> None:
    if match := _STARTED.search(line):
        task = match[1]
        step = steps.setdefault(task, StepState(task, names.get(task, task)))
        step.running, step.ended = step.running + 1, None
        on_change(step)
    elif match := _ENDED.search(line):
        ended = steps.get(match[1])
        if ended is not None:
            ended.running, ended.succeeded = ended.running - 1, ended.succeeded and match[2] == "SUCCESS"
            if not ended.running:
                ended.ended = time.monotonic()
            on_change(ended)
    elif match := _STEP_LINE.search(line):
        level, name, message = match.groups()
        running = [step for step in steps.values() if step.ended is None]
        said_by = next((s for s in running if s.name == name), running[-1] if running else None)
        if said_by is None:
            return
        if level == "ERROR" and said_by.name != "finish":
            errors.append(message)
        if level == "WARNING":
            said_by.warnings.append(message)
        else:
            said_by.message = message
        on_change(said_by)


def _artifact_folder(root: Path) -> Path:
    """The folder that `kfp.local` made in `root`, one a run."""
    folders = [path for path in root.iterdir() if path.is_dir()]
    return folders[0] if folders else root
