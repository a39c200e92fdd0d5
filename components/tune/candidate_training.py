"""Preparation and training of one candidate, in one process."""

import errno
import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tilepipe.components.prepare.config import PrepareConfig
from tilepipe.components.prepare.prepare import prepare
from tilepipe.components.propose.candidate_configs import candidate_configs, in_pipeline_terms
from tilepipe.components.shared.contracts.candidates import MODEL_FILE, OUTCOME_FILE, Candidate, Outcome, Status
from tilepipe.components.shared.errors import ArtifactError, StorageError, TilepipeError, TrackingError, full_disk
from tilepipe.components.shared.runtime.config import StepConfig
from tilepipe.components.shared.tracking import nested_runs, tracking
from tilepipe.components.train.config import TrainConfig
from tilepipe.components.train.loop.interruptions import Paused
from tilepipe.components.train.train import Inputs, Outputs, train

logger = logging.getLogger("tilepipe.tune")

ERROR_FILE = "error.json"
"""File of an error that is not the candidate's, and ends the worker."""
FULL_DISK_EXIT_CODE = errno.ENOSPC
"""Exit code where even the file of the error may not fit on the disk."""
_NOT_OF_THE_CANDIDATE = (ArtifactError, StorageError, TrackingError)


@dataclass(frozen=True)
class Shards:
    """Artifacts of the packed data."""

    train: tuple[Path, ...]
    """Folders, one per packed part."""
    val: tuple[Path, ...]
    manifest: Path


@dataclass(frozen=True)
class CandidateTask:
    """Training of a candidate, up to its end or to a rung."""

    candidate: Candidate
    base: dict[str, Any]
    """Parameters of all candidates, by the names of the pipeline."""
    metric: str
    pod: dict[str, Any]
    """Further fields of the training's configuration."""
    shards: Shards
    folder: Path
    """Folder to write the outcome and the model to."""
    scratch: Path
    """Folder that is kept from rung to rung."""
    pause_after_epochs: int = 0
    """Rung to pause at; 0 for none."""
    spent_seconds: float = 0.0
    """Training time up to the last rung."""
    spent_processor_seconds: float = 0.0

    def outcome(self, status: Status) -> Outcome:
        """Return an outcome without figures."""
        chosen = self.candidate
        return Outcome(
            index=chosen.index, parameters=chosen.parameters, base=self.base, status=status, metric=self.metric
        )


def train_candidate(task: CandidateTask) -> None:
    """Train a candidate, and write its outcome; an error of its own is its outcome.

    Args:
        task: the candidate, and where it is from and to.

    Raises:
        SystemExit: with `FULL_DISK_EXIT_CODE`, if the disk is full.
    """
    tracking.adopt_run(tracking.UNTRACKED)  # a forked process has that of the one that it comes from
    try:
        chosen = {f"candidate.{name}": value for name, value in task.candidate.parameters.items()}
        with nested_runs.nested(task.candidate.name, chosen), _named_log(task.candidate.name):
            _train(task)
    except Exception as error:
        if full_disk(error):
            raise SystemExit(FULL_DISK_EXIT_CODE) from None
        raise


@contextmanager
def _named_log(name: str) -> Iterator[None]:
    """Begin each line of the steps' logs with the candidate, since other workers may write into the same log."""
    named, loggers = _Named(name), [logging.getLogger(f"tilepipe.{step}") for step in ("prepare", "train")]
    for one in loggers:
        one.addFilter(named)
    try:
        yield
    finally:
        for one in loggers:
            one.removeFilter(named)


class _Named(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = f"{self.name}: {record.getMessage()}", ()
        return True


def _train(task: CandidateTask) -> None:
    candidate = task.candidate
    task.folder.mkdir(parents=True, exist_ok=True)
    task.scratch.mkdir(parents=True, exist_ok=True)
    started, used = time.monotonic(), time.process_time()
    weights = None
    step: type[StepConfig] = PrepareConfig
    outcome = task.outcome("finished")
    try:
        configs = candidate_configs(task.base, candidate.parameters, **task.pod)
        nested_runs.add_parameters(configs.of_network())
        base_model = task.scratch / "base.keras"
        facts_file = task.scratch / "facts.json"
        if not facts_file.is_file():
            facts = prepare(configs.prepare, task.shards.manifest, base_model, task.scratch / "summary.md")
            facts_file.write_text(json.dumps(facts), encoding="utf-8")
        weights, step = int(json.loads(facts_file.read_text(encoding="utf-8"))["parameters"]), TrainConfig
        trained = train(
            configs.train,
            Inputs(task.shards.train, task.shards.val, task.shards.manifest, base_model),
            Outputs(task.folder / MODEL_FILE, task.scratch / "history.json", task.scratch / "curves.html"),
            pause_after_epochs=task.pause_after_epochs,
        )
        outcome = outcome.model_copy(update={"history": trained.history})
        tracking.close_run(trained.mlflow_run_id, "FINISHED")
    except Paused as paused:
        outcome = outcome.model_copy(update={"status": "stopped", "history": paused.history})
    except _NOT_OF_THE_CANDIDATE as error:
        (task.folder / ERROR_FILE).write_text(
            json.dumps({"kind": type(error).__name__, "message": str(error)}), encoding="utf-8"
        )
        return
    except Exception as error:
        if full_disk(error):
            raise
        is_known = isinstance(error, TilepipeError)
        reason = in_pipeline_terms(step, str(error)) if is_known else f"{type(error).__name__}: {error}"
        logger.warning("%s failed: %s", candidate.name, reason, exc_info=not is_known)
        outcome = outcome.model_copy(update={"status": "failed", "reason": reason[:2000]})
        run_id = tracking.open_run_id() or tracking.open_run(str(task.pod["experiment"]), candidate.name, {})
        tracking.log_params(run_id, nested_runs.parameters())
        tracking.close_run(run_id, "FAILED", failed_step="tune", reason=reason)
    measured = {
        "weights": weights,
        "training_seconds": task.spent_seconds + time.monotonic() - started,
        "processor_seconds": task.spent_processor_seconds + time.process_time() - used,
        "mlflow_run_id": tracking.open_run_id(),
    }
    outcome.model_copy(update=measured).write(task.folder / OUTCOME_FILE)
