"""Train the candidates of one worker one after another, and stop hopeless ones at rungs."""

import json
import logging
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from tilepipe.components.propose.config import shown
from tilepipe.components.shared import errors
from tilepipe.components.shared.contracts.candidates import (
    MODEL_FILE,
    Candidate,
    Outcome,
    Share,
    ranked,
    read_outcomes,
)
from tilepipe.components.shared.errors import ParameterError, TilepipeError
from tilepipe.components.shared.runtime import tracking
from tilepipe.components.tune.candidate_training import ERROR_FILE, CandidateTask, Shards, train_candidate
from tilepipe.components.tune.child_process import ending, run_in_child
from tilepipe.components.tune.config import TuneConfig

logger = logging.getLogger("tilepipe.tune")


def tune(config: TuneConfig, shards: Shards, outcomes: Path) -> list[Outcome]:
    """Train the candidates of a worker, each in a process of its own.

    With rungs, all candidates of the worker are trained up to the first rung, then the best of them up to the next one,
    and so on. A rung is judged when all of the worker's candidates have reached it, so their order does not matter, and
    the best one always continues. A training that continues resumes from its checkpoint.

    Args:
        config: the parameters.
        shards: the packed data.
        outcomes: folder to write: one folder per candidate with its outcome; that of the best one also has its model.

    Returns:
        The outcomes, the best first. A candidate that fails has an outcome too.

    Raises:
        ParameterError: the share is not one of `propose`.
        ArtifactError: an input is damaged.
        StorageError: the checkpoint location is not writable.
        TrackingError: the tracking server cannot be reached.
    """
    share = _read_share(config.share)
    outcomes.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        tasks = [_task(config, share, candidate, shards, outcomes, Path(scratch)) for candidate in share.candidates]
        seconds: dict[int, float] = {}
        for rung in share.rungs:
            reached = [_run(replace(task, pause_after_epochs=rung), seconds) for task in tasks]
            tasks = _continuing(tasks, reached, share)
        for task in tasks:
            _run(task, seconds)
    found = [
        outcome.model_copy(update={"seconds": seconds[outcome.index]}) for outcome in ranked(read_outcomes(outcomes))
    ]
    for outcome in found:
        outcome.write(outcomes / outcome.name)
        if outcome.status == "stopped":
            tracking.close_run(outcome.mlflow_run_id, "KILLED", reason=outcome.reason)
        if outcome is not found[0]:  # no other model of this worker can win
            (outcomes / outcome.name / MODEL_FILE).unlink(missing_ok=True)
    finished = sum(outcome.status == "finished" for outcome in found)
    logger.info("%d of %d candidates trained to the end", finished, len(found))
    return found


def _read_share(text: str) -> Share:
    try:
        return Share.model_validate_json(text)
    except ValidationError as error:
        raise ParameterError(
            f"`share` must be an item of the list that `propose` returns. Received: share={text[:200]!r}: "
            f"{error.errors()[0]['msg']}. Loop over the output of propose_candidates."
        ) from error


def _task(
    config: TuneConfig, share: Share, candidate: Candidate, shards: Shards, outcomes: Path, scratch: Path
) -> CandidateTask:
    own = scratch / candidate.name
    pod = config
    if share.rungs:  # checkpoints of stopped candidates must not be left behind
        pod = config.model_copy(update={"checkpoint_uri": str(scratch)})
    return CandidateTask(
        candidate=candidate,
        base=share.base,
        metric=share.metric,
        pod=pod.for_candidate(candidate.name),
        shards=shards,
        folder=outcomes / candidate.name,
        scratch=own,
    )


def _run(task: CandidateTask, seconds: dict[int, float]) -> Outcome:
    """Train a candidate up to its end or its rung, and return the outcome so far."""
    candidate, started = task.candidate, time.monotonic()
    logger.info("%s: %s", candidate.name, shown(candidate.parameters))
    code = run_in_child(train_candidate, task)
    seconds[candidate.index] = seconds.get(candidate.index, 0.0) + time.monotonic() - started
    error_file = task.folder / ERROR_FILE
    if error_file.is_file():
        error = json.loads(error_file.read_text(encoding="utf-8"))
        kind: type[TilepipeError] = getattr(errors, error["kind"])
        raise kind(error["message"])
    written = read_outcomes(task.folder.parent)
    outcome = next((one for one in written if one.index == candidate.index), None)
    if code or outcome is None:
        known = {"mlflow_run_id": outcome.mlflow_run_id} if outcome else {}
        outcome = task.outcome("failed").model_copy(update={"reason": ending(code), **known})
        outcome.write(task.folder)
        logger.warning("%s failed: %s", candidate.name, outcome.reason)
    return outcome


def _continuing(tasks: Sequence[CandidateTask], reached: Sequence[Outcome], share: Share) -> list[CandidateTask]:
    """Return the tasks of the candidates that continue after a rung, and state why the others are stopped."""
    paused = [outcome for outcome in ranked(list(reached)) if outcome.status == "stopped"]
    kept = max(1, round(len(paused) / share.reduction_factor))
    for place, outcome in enumerate(paused, start=1):
        if place > kept:
            epochs = len(outcome.history.epochs) if outcome.history else 0
            reason = f"place {place} of {len(paused)} of its worker after {epochs} epochs, of which {kept} continued"
            task = next(task for task in tasks if task.candidate.index == outcome.index)
            outcome.model_copy(update={"reason": reason}).write(task.folder)
            logger.info("%s stopped: %s", outcome.name, reason)
    spent = {outcome.index: outcome.training_seconds for outcome in paused[:kept]}
    return [replace(task, spent_seconds=spent[task.candidate.index]) for task in tasks if task.candidate.index in spent]
