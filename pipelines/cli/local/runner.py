"""Run a compiled pipeline on this machine: the YAML itself, with `kfp.local` and one readable line per step."""

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

from tilepipe.pipelines.cli.compilation import user_terms
from tilepipe.pipelines.cli.compilation.compiled_pipeline import CompiledPipeline
from tilepipe.pipelines.cli.local.step_output import REUSED, STEP_LINE

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_STARTED = re.compile(r"INFO - Executing task '([\w-]+)'")
_ENDED = re.compile(r"Task '([\w-]+)' finished with status (\w+)")


@dataclass
class StepState:
    """State of one step of a running pipeline; all iterations of a loop are one step."""

    task: str
    name: str
    started: float = field(default_factory=time.monotonic)
    ended: float | None = None
    succeeded: bool = True
    running: int = 0
    """Number of running iterations; at most 1 outside of a loop."""
    has_ended: bool = False
    """True once an iteration has ended."""
    is_reused: bool = True
    """True while all iterations come from earlier runs."""
    folder: Path | None = None
    """Folder of the outputs if they come from an earlier run; that of the last iteration of a loop."""
    message: str = ""
    """The newest line of the step's log."""
    warnings: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Duration so far, or in total once it has ended."""
        return (self.ended or time.monotonic()) - self.started


@dataclass(frozen=True)
class LocalRun:
    """A finished local run."""

    folder: Path
    """Folder of the artifacts, which are at `<folder>/<task>/<output>`."""
    log: Path
    tracking_uri: str
    steps: tuple[StepState, ...]
    failure: str
    """Reason of the failure; empty for a run that succeeded."""
    is_user_error: bool
    """True if the user can correct the cause of the failure."""

    @property
    def failed_step(self) -> StepState | None:
        """The first step that failed, if any."""
        return next((step for step in self.steps if step.ended and not step.succeeded), None)

    def outputs(self, task: str) -> dict[str, Any]:
        """Read the output artifacts of a task: name -> `{"uri": ..., "metadata": ...}`."""
        earlier = next((step.folder for step in self.steps if step.task == task), None)
        path = (earlier or self.folder / task) / "executor_output.json"
        written = json.loads(path.read_text(encoding="utf-8"))
        return {name: found["artifacts"][0] for name, found in written.get("artifacts", {}).items()}


def run_locally(
    pipeline: CompiledPipeline,
    arguments: Mapping[str, Any],
    folder: Path,
    on_change: Callable[[StepState], None],
    *,
    reuse: bool = True,
) -> LocalRun:
    """Run a pipeline's YAML on this machine.

    Args:
        pipeline: The compiled pipeline.
        arguments: Checked arguments.
        folder: Folder of all runs. It also contains the MLflow store and the checkpoints of unfinished trainings.
        on_change: Called with a step whenever it starts, logs a line or ends.
        reuse: Whether steps whose inputs, parameters and code are those of an earlier run in `folder` are not run
            again. Defaults to True.

    Returns:
        The finished run; a failed pipeline raises no exception.
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
    command.append(str(folder.resolve() / "cache") if reuse else "")
    steps: dict[str, StepState] = {}
    errors: list[str] = []
    names = {task.name: task.step for task in pipeline.tasks}
    with log.open("w", encoding="utf-8") as sink, _started(command, environment) as process:
        assert process.stdout is not None  # noqa: S101 - for the type checker; PIPE was asked for
        for line in _lines(process.stdout, sink):
            _follow(line, steps, pipeline, names, errors, on_change)
    _end_remaining(steps, on_change, succeeded=process.returncode == 0)
    failure = ""
    if process.returncode:
        reason = note.read_text(encoding="utf-8").partition(": ")[2]
        failed = next((step.task for step in steps.values() if step.ended and not step.succeeded), "")
        failure = user_terms.translate(pipeline, failed, reason) or f"kfp.local stopped with code {process.returncode}"
    return LocalRun(
        folder=_artifact_folder(root),
        log=log,
        tracking_uri=tracking_uri,
        steps=tuple(steps.values()),
        failure=failure,
        is_user_error=bool(errors),
    )


def with_checkpoints(pipeline: CompiledPipeline, arguments: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Add a default folder for checkpoints, so that a training that was killed can be resumed.

    Args:
        pipeline: The compiled pipeline.
        arguments: Checked arguments; a given `train_checkpoint_uri` is kept, even an empty one.
        folder: Folder of all runs.

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
    pipeline: CompiledPipeline,
    names: Mapping[str, str],
    errors: list[str],
    on_change: Callable[[StepState], None],
) -> None:
    if match := _STARTED.search(line) or REUSED.search(line):
        task = match[1]
        _end_silent_iterations(steps, task, on_change)
        step = steps.setdefault(task, StepState(task, names.get(task, task)))
        step.running, step.ended = step.running + 1, None
        step.is_reused = step.is_reused and match.re is REUSED
        step.folder = Path(match[2]) if match.re is REUSED else None
        on_change(step)
    elif match := _ENDED.search(line):
        ended = steps.get(match[1])
        if ended is not None:
            ended.running, ended.succeeded = ended.running - 1, ended.succeeded and match[2] == "SUCCESS"
            ended.has_ended = True
            if not ended.running:
                ended.ended = time.monotonic()
            on_change(ended)
    elif match := STEP_LINE.search(line):
        level, name, message = match.groups()
        running = [step for step in steps.values() if step.ended is None]
        said_by = next((s for s in running if s.name == name), running[-1] if running else None)
        if said_by is None:
            return
        if level != "INFO":
            message = user_terms.translate(pipeline, said_by.task, message)
        if level == "ERROR" and said_by.name != "finish":
            errors.append(message)
        if level == "WARNING":
            said_by.warnings.append(message)
        else:
            said_by.message = message
        on_change(said_by)


def _end_silent_iterations(
    steps: Mapping[str, StepState], started: str, on_change: Callable[[StepState], None]
) -> None:
    """End the loops before a task that starts: `kfp.local` may not log the end of iterations after the first one's.

    It restores the log level for all threads when the first of them has ended its iteration.
    """
    for step in steps.values():
        if step.task != started and step.ended is None and step.has_ended:
            step.running, step.ended = 0, time.monotonic()
            on_change(step)


def _end_remaining(steps: Mapping[str, StepState], on_change: Callable[[StepState], None], *, succeeded: bool) -> None:
    """End the steps whose end `kfp.local` did not log, which can be the last loop's, with the result of the run."""
    for step in steps.values():
        if step.ended is None:
            step.running, step.ended, step.succeeded = 0, time.monotonic(), step.succeeded and succeeded
            on_change(step)


def _artifact_folder(root: Path) -> Path:
    """Return the one folder that `kfp.local` creates in `root` per run."""
    folders = [path for path in root.iterdir() if path.is_dir()]
    return folders[0] if folders else root
