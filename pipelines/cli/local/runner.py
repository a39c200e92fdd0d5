"""Run the YAML of a compiled pipeline on this machine with `kfp.local`, and follow the state of its steps."""

import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from tilepipe.components.shared.runtime import run_settings
from tilepipe.components.shared.tracking import sqlite_store
from tilepipe.pipelines.cli.compilation import user_terms
from tilepipe.pipelines.cli.compilation.compiled_pipeline import CompiledPipeline
from tilepipe.pipelines.cli.local import unfinished
from tilepipe.pipelines.cli.local.step_output import REUSED, STEP_LINE

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_STARTED = re.compile(r"INFO - Executing task '([\w-]+)'")
_RESULT = re.compile(r"(?:candidate-\d+: )?epoch \d+ of \d+: (?!trained on )")
"""Beginning of a message that stays on the screen: the figures of an epoch."""
_PAGE = re.compile(r"MLflow run \w+ is \w+: (#\S+)")
_RAISED = re.compile(r"\s*(\w+\.)*\w*(Error|Exception|Interrupt)\b")
_NO_PIP = re.compile(r"\S*python[\d.]*: No module named pip$")
_CANNOT_INSTALL = (
    "A component must not install packages where pip is missing, as in the environment of `tilepipe run`. Received: "
    "one with packages_to_install, or without install_kfp_package=False. Install its packages in this environment, and "
    "give dsl.component(install_kfp_package=False)."
)
_NOT_STARTED = re.compile(r"ERROR:root:Task [\w-]+ failed with exception: (.+)")
"""Message of `kfp.local` about a task of which no step has run."""
_ENDED = re.compile(r"Task '([\w-]+)' finished with status (\w+)")

_OUTPUTS = "executor_output.json"
"""Name of the file with the outputs of a task, beside them."""
_ITERATION = re.compile(r"-iteration-(\d+)(?=/)")
"""Iteration of a loop, in the path of a folder."""
_NO_REASON = "It ended without a message, for example because it ran out of memory. Its log may have the reason."


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
    earlier_folders: list[Path] = field(default_factory=list)
    """Folders of the outputs of the iterations that come from earlier runs."""
    message: str = ""
    """The newest line of the step's log."""
    warnings: list[str] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    """Lines of the log that stay on the screen."""

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
    mlflow_page: str = ""
    """Path of the run's page, to append to the address of MLflow's server; empty if it is not known."""

    @property
    def failed_step(self) -> StepState | None:
        """The first step that failed, if any."""
        return next((step for step in self.steps if step.ended and not step.succeeded), None)

    def outputs(self, task: str) -> list[tuple[str, dict[str, Any]]]:
        """Read the output artifacts of each execution of a task, of which a loop has several.

        Returns:
            Name of the execution, such as `evaluate-model` or `evaluate-model, iteration 0`, and its artifacts: name ->
            `{"uri": ..., "metadata": ...}`; in the order of the iterations.
        """
        folders = [path.parent for path in self.folder.rglob(f"{task}/{_OUTPUTS}")]
        folders += [folder for step in self.steps if step.task == task for folder in step.earlier_folders]
        # Relative to this run, without the folder of all runs, whose name may look like an iteration.
        iterations = {folder: _ITERATION.findall(os.path.relpath(folder, self.folder)) for folder in folders}
        found = []
        for folder in sorted(folders, key=lambda folder: [int(number) for number in iterations[folder]]):
            written = json.loads((folder / _OUTPUTS).read_text(encoding="utf-8"))
            artifacts = {name: one["artifacts"][0] for name, one in written.get("artifacts", {}).items()}
            found.append((", iteration ".join((task, *iterations[folder])), artifacts))
        return found


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
        reuse: Whether to reuse the results of earlier runs in `folder` for steps with the same inputs, parameters and
            code. Defaults to True.

    Returns:
        The finished run; a failed pipeline raises no exception.
    """
    tracking_uri = os.environ.get("MLFLOW_TRACKING_URI") or sqlite_store.address(folder / "mlflow.db")
    unfinished.close_all(folder, tracking_uri)
    root = folder / f"{pipeline.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:4]}"
    root.mkdir(parents=True)
    log, note = root / "run.log", root / "termination-log"
    note.touch()
    changed = {name: value for name, value in arguments.items() if value != pipeline.parameters[name].default}
    environment = {
        **os.environ,
        "KFP_RUN_ID": str(uuid.uuid4()),
        "MLFLOW_TRACKING_URI": tracking_uri,
        "PYTHONUNBUFFERED": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TILEPIPE_TERMINATION_LOG": str(note.resolve()),
        run_settings.VARIABLE: run_settings.encode(changed, str(root.resolve())),
    }
    command = [sys.executable, "-m", "tilepipe.pipelines.cli.local.worker"]
    command += [str(pipeline.path), str(root), json.dumps(with_checkpoints(pipeline, arguments, folder))]
    command.append(str(folder.resolve() / "cache") if reuse else "")
    store = None if os.environ.get("MLFLOW_TRACKING_URI") else folder
    follower = Follower(pipeline, note, on_change, store)
    try:
        with unfinished.marked(root, environment["KFP_RUN_ID"]), log.open("w", encoding="utf-8") as sink:
            returned = _run(command, environment, sink, follower)
    except KeyboardInterrupt:
        unfinished.close_all(folder, tracking_uri)
        raise
    follower.end(succeeded=returned == 0)
    steps = tuple(follower.steps.values())
    failed = next((step for step in steps if step.ended and not step.succeeded), None)
    failure = failed.message if failed else follower.raised or f"kfp.local stopped with code {returned}"
    return LocalRun(
        folder=_artifact_folder(root),
        log=log,
        tracking_uri=tracking_uri,
        steps=steps,
        failure=failure if returned else "",
        is_user_error=follower.has_user_error,
        mlflow_page=follower.mlflow_page,
    )


def _run(command: list[str], environment: dict[str, str], sink: IO[str], follower: "Follower") -> int:
    """Run the worker, and return its exit code; Ctrl-C kills it with all of its steps."""
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
    )
    with process:
        assert process.stdout is not None  # noqa: S101 - for the type checker; PIPE was asked for
        try:
            for line in process.stdout:
                sink.write(line)
                follower.read(_ANSI.sub("", line).rstrip())
            return process.wait()
        except BaseException:
            process.kill()
            raise


def with_checkpoints(pipeline: CompiledPipeline, arguments: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Add a default folder for checkpoints, so that a training that was killed can be resumed.

    A given `train_checkpoint_uri` is kept, even an empty one.
    """
    if "train_checkpoint_uri" not in pipeline.parameters:
        return dict(arguments)
    return {"train_checkpoint_uri": str(folder.resolve() / "checkpoints"), **arguments}


class Follower:
    """Reader of the log of a run, which keeps the states of its steps.

    Args:
        pipeline: The pipeline.
        note: File to which a failing step writes its name and the reason.
        on_change: Called with a step whenever it starts, logs a line or ends.
        store: Folder with the local MLflow store that the run uses; None if it uses another one. Defaults to None.
    """

    def __init__(
        self,
        pipeline: CompiledPipeline,
        note: Path,
        on_change: Callable[[StepState], None],
        store: Path | None = None,
    ) -> None:
        self._pipeline, self._note, self._on_change, self._store = pipeline, note, on_change, store
        self._names = {task.name: task.step for task in pipeline.tasks}
        self.raised = ""
        """The last exception in the log."""
        self.steps: dict[str, StepState] = {}
        """By task."""
        self.has_user_error = False
        self.mlflow_page = ""

    def read(self, line: str) -> None:
        """Read the next line."""
        if match := _STARTED.search(line) or REUSED.search(line):
            self._start(match[1], Path(match[2]) if match.re is REUSED else None)
        elif match := _ENDED.search(line):
            self._end(match[1], succeeded=match[2] == "SUCCESS")
        elif match := STEP_LINE.search(line):
            self._show(*match.groups())
        elif _RAISED.match(line):
            self.raised = line.strip()
        elif _NO_PIP.match(line.strip()):
            self.raised = _CANNOT_INSTALL
        elif match := _NOT_STARTED.match(line):
            self.raised = match[1]

    def end(self, *, succeeded: bool) -> None:
        """End the steps whose end `kfp.local` did not log, such as a loop at the end, with the result of the run."""
        for step in self.steps.values():
            if step.ended is None:
                step.running, step.ended, step.succeeded = 0, time.monotonic(), step.succeeded and succeeded
                self._explain(step)
                self._on_change(step)

    def _start(self, task: str, folder: Path | None) -> None:
        self._end_silent_iterations(task)
        step = self.steps.setdefault(task, StepState(task, self._names.get(task, task)))
        step.running, step.ended = step.running + 1, None
        if folder is not None:
            step.earlier_folders.append(folder)
        step.is_reused = step.is_reused and folder is not None
        self._on_change(step)

    def _end(self, task: str, *, succeeded: bool) -> None:
        step = self.steps.get(task)
        if step is None:
            return
        step.running, step.succeeded, step.has_ended = step.running - 1, step.succeeded and succeeded, True
        if not step.running:
            step.ended = time.monotonic()
            self._explain(step)
        self._on_change(step)

    def _explain(self, step: StepState) -> None:
        """Give a step that failed the reason as its message."""
        if step.succeeded:
            return
        name, _, reason = self._note.read_text(encoding="utf-8").partition(": ")
        reason = reason if name == step.name else self.raised
        step.message = self._translated(step, reason) or _NO_REASON

    def _translated(self, step: StepState, message: str) -> str:
        translated = user_terms.translate(self._pipeline, step.task, message)
        return user_terms.in_folder(translated, self._store) if self._store else translated

    def _show(self, level: str, name: str, message: str) -> None:
        running = [step for step in self.steps.values() if step.ended is None]
        step = next((one for one in running if one.name == name), running[-1] if running else None)
        if step is None:
            return
        if level != "INFO":
            message = self._translated(step, message)
        if level == "ERROR" and step.name != "finish":
            self.has_user_error = True
        if page := _PAGE.search(message):
            self.mlflow_page, message = page[1], message[: page.start(1)].rstrip(": ")
        if level == "WARNING":
            step.warnings.append(message)
        elif _RESULT.match(message) and not step.is_reused:
            step.results.append(message)
            step.message = ""  # the progress within that epoch is outdated
        else:
            step.message = message
        self._on_change(step)

    def _end_silent_iterations(self, started: str) -> None:
        """End the loops before a task that starts, since `kfp.local` may log the end of their first iteration only.

        When the first thread has ended its iteration, it restores the log level for all threads.
        """
        for step in self.steps.values():
            if step.task != started and step.ended is None and step.has_ended:
                step.running, step.ended = 0, time.monotonic()
                self._on_change(step)


def _artifact_folder(root: Path) -> Path:
    """Return the one folder that `kfp.local` creates in `root` per run."""
    folders = [path for path in root.iterdir() if path.is_dir()]
    return folders[0] if folders else root
