"""Train the candidates of one worker one after another, and stop unpromising ones at rungs."""

import errno
import json
import logging
import os
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
    OUTCOME_FILE,
    Candidate,
    Outcome,
    Share,
    Study,
    ranked,
    read_outcomes,
)
from tilepipe.components.shared.contracts.manifest import read_manifest
from tilepipe.components.shared.errors import ParameterError, TilepipeError
from tilepipe.components.shared.runtime import cluster
from tilepipe.components.shared.storage.atomic import whole_folder
from tilepipe.components.shared.tracking import tracking
from tilepipe.components.tune.candidate_training import (
    ERROR_FILE,
    FULL_DISK_EXIT_CODE,
    CandidateTask,
    Shards,
    train_candidate,
)
from tilepipe.components.tune.child_process import ending, run_in_child
from tilepipe.components.tune.config import TuneConfig
from tilepipe.components.tune.results import SweepResults, key_of
from tilepipe.components.tune.study import choose, is_in_space

logger = logging.getLogger("tilepipe.tune")


def tune(config: TuneConfig, shards: Shards, outcomes: Path) -> list[Outcome]:
    """Train the candidates of a worker, each in a process of its own.

    With rungs, all candidates of the worker are trained up to the first rung, then the best of them up to the next one,
    and so on. A rung is judged when all of the worker's candidates have reached it, so their order does not matter, and
    the best one always continues. A training that continues resumes from its checkpoint.

    With a study, the worker chooses its candidates by the results of all workers: one after another, or with rungs as
    many at a time as leave one after the last rung.

    Results are stored in `study_uri`, or in `checkpoint_uri`. A candidate that has one there is not trained again.

    Args:
        config: the parameters.
        shards: the packed data.
        outcomes: folder to write: one folder per candidate with its outcome; that of the best one also has its model.

    Returns:
        The outcomes, the best first. A candidate that fails has an outcome too.

    Raises:
        ParameterError: the share is not one of `propose`.
        ArtifactError: an input is damaged.
        StorageError: the checkpoint location is not writable, or the results cannot be read.
        TrackingError: the tracking server cannot be reached.
    """
    share = _read_share(config.share)
    with tempfile.TemporaryDirectory() as scratch, whole_folder(outcomes) as partial:
        results = _open_results(config, share, shards, scratch)
        worker = _Worker(config, share, shards, partial, Path(scratch), results)
        if share.study:
            worker.train_study(share.study)
        else:
            worker.train(share.candidates)
        return worker.finish()


def _read_share(text: str) -> Share:
    try:
        return Share.model_validate_json(text)
    except ValidationError as error:
        raise ParameterError(
            f"`share` must be an item of the list that `propose` returns. Received: share={text[:200]!r}: "
            f"{error.errors()[0]['msg']}. Loop over the output of propose_candidates."
        ) from error


def _open_results(config: TuneConfig, share: Share, shards: Shards, scratch: str) -> SweepResults:
    """Open the stored results that are comparable with those of this sweep."""
    facts = {
        "base": share.base,
        "data": read_manifest(shards.manifest).digest,
        "metric": share.metric,
        "reduction_factor": share.reduction_factor,
        "rungs": share.rungs,
    }
    if share.study_uri:
        results = SweepResults(share.study_uri, "study_uri", key_of(facts))
    else:
        study = share.study.model_dump(mode="json", exclude={"indices"}) if share.study else None
        key = key_of({**facts, "run": cluster.workflow_name(), "study": study})
        results = SweepResults(config.checkpoint_uri or scratch, "checkpoint_uri", key)
    results.read()
    return results


class _Worker:
    """Trainings of the candidates of one worker."""

    def __init__(
        self, config: TuneConfig, share: Share, shards: Shards, outcomes: Path, scratch: Path, results: SweepResults
    ) -> None:
        self._config, self._share, self._shards = config, share, shards
        self._outcomes, self._scratch, self._results = outcomes, scratch, results
        self._found: dict[int, Outcome] = {}
        self._trained: set[int] = set()
        self._keeps_models = bool(share.study_uri or config.checkpoint_uri)

    def train_study(self, study: Study) -> None:
        """Choose and train candidates in rounds."""
        if not self._keeps_models and len(study.indices) < study.candidates:
            logger.warning(
                "each worker chooses by its own results alone, since `checkpoint_uri` and `study_uri` are empty"
            )
        size = self._share.reduction_factor ** len(self._share.rungs)
        for start in range(0, len(study.indices), size):
            self._results.refresh()
            chosen = []
            for index in study.indices[start : start + size]:
                known = self._of_study(study)
                candidate = known.get(index)
                if candidate is None:
                    candidate = choose(study, index, known, self._results.outcomes(known), self._share.metric)
                    self._results.choose(candidate)
                chosen.append(candidate)
            self.train(chosen)

    def _of_study(self, study: Study) -> dict[int, Candidate]:
        """Return the known candidates of the study's search space, by index."""
        return self._results.candidates(lambda parameters: is_in_space(study, parameters))

    def train(self, candidates: Sequence[Candidate]) -> None:
        """Train candidates that are compared with each other at rungs."""
        tasks = [self._task(candidate) for candidate in candidates]
        for rung in self._share.rungs:
            reached = [self._reach(replace(task, pause_after_epochs=rung)) for task in tasks]
            tasks = self._continuing(tasks, reached)
        for task in tasks:
            known = self._results.outcome(task.candidate)
            if known:
                logger.info("%s has a result: %s", known.name, known.status)
                self._found[known.index] = known
            else:
                self._end(self._run(task))

    def finish(self) -> list[Outcome]:
        """Write all outcomes, and the model of the best one; return the outcomes, the best first."""
        found = ranked(list(self._found.values()))
        for outcome in found:
            outcome.write(self._outcomes / outcome.name / OUTCOME_FILE)
            if outcome is not found[0]:  # no other model of this worker can win
                (self._outcomes / outcome.name / MODEL_FILE).unlink(missing_ok=True)
            if self._share.rungs:
                self._results.drop_checkpoints(outcome)
        self._restore_model(found[0])
        if not self._share.study_uri:
            self._remove_results()
        finished = sum(outcome.status == "finished" for outcome in found)
        logger.info(
            "processor time: %.1f s, of which %.1f s in trainings",
            sum(os.times()[:4]),
            sum(outcome.processor_seconds for outcome in found if outcome.index in self._trained),
        )
        earlier = sum(outcome.index not in self._trained for outcome in found)
        kept = f"; {earlier:,} had a result of an earlier run" if earlier else ""
        logger.info("%d of %d candidates trained to the end%s", finished, len(found), kept)
        return found

    def _restore_model(self, best: Outcome) -> None:
        """Get the stored model of the best outcome; train it again if it is lost and might win."""
        model = self._outcomes / best.name / MODEL_FILE
        if best.status != "finished" or model.is_file() or self._results.restore_model(best, model):
            return
        if ranked([best, *self._of_others()])[0] is best:
            logger.info("%s is trained again, since its model is not stored", best.name)
            self._run(self._task(Candidate(index=best.index, parameters=best.parameters)))
            best.write(model.parent / OUTCOME_FILE)

    def _of_others(self) -> list[Outcome]:
        """Return the outcomes that other workers of this sweep are known to have."""
        study = self._share.study
        if self._share.study_uri and not study:  # it holds results of earlier sweeps, which may not be in this one
            return []
        known = self._results.outcomes(self._of_study(study) if study else self._results.candidates(lambda _: True))
        return [
            one
            for one in known.values()
            if one.index not in self._found and (not study or one.index < study.candidates)
        ]

    def _remove_results(self) -> None:
        """Delete the results, which only this run uses; those of a study when all its workers have finished."""
        indices: Sequence[int] = sorted(self._found)
        if self._share.study:
            self._results.refresh()
            if len(self._results.outcomes(self._of_study(self._share.study))) < self._share.study.candidates:
                return
            indices = range(self._share.study.candidates)
        self._results.remove(indices)

    def _task(self, candidate: Candidate) -> CandidateTask:
        config = self._config
        if self._share.rungs:  # checkpoints of stopped candidates must not be left behind
            config = config.model_copy(update={"checkpoint_uri": self._results.rung_checkpoints()})
        return CandidateTask(
            candidate=candidate,
            base=self._share.base,
            metric=self._share.metric,
            pod=config.for_candidate(candidate.name),
            shards=self._shards,
            folder=self._outcomes / candidate.name,
            scratch=self._scratch / candidate.name,
        )

    def _reach(self, task: CandidateTask) -> Outcome:
        """Return the outcome at a rung, or the final one if the training has ended before."""
        rung, candidate = task.pause_after_epochs, task.candidate
        known = self._results.outcome(candidate, rung) or self._results.outcome(candidate)
        if known:
            self._found[known.index] = known
            return known
        outcome = self._run(task)
        if outcome.status == "stopped":
            self._found[outcome.index] = outcome
            self._results.record(outcome, rung)
        else:
            self._end(outcome)
        return outcome

    def _end(self, outcome: Outcome) -> None:
        """Record the final outcome of a candidate, and keep its model if it is the best so far."""
        self._found[outcome.index] = outcome
        finished = [one for one in ranked(list(self._found.values())) if one.status == "finished"]
        is_best = bool(finished) and finished[0] is outcome and self._keeps_models
        if is_best:
            self._results.keep_model(outcome, self._outcomes / outcome.name / MODEL_FILE)
        self._results.record(outcome)
        if is_best:
            self._results.drop_models(finished[1:])

    def _run(self, task: CandidateTask) -> Outcome:
        """Train a candidate up to its end or its rung, and return the outcome so far."""
        candidate, started = task.candidate, time.monotonic()
        self._trained.add(candidate.index)
        logger.info("%s: %s", candidate.name, shown(candidate.parameters))
        code = run_in_child(train_candidate, task)
        if code == FULL_DISK_EXIT_CODE:
            places = f"{task.folder} or {tempfile.gettempdir()}"  # the process is gone with its error
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), places)
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
            logger.warning("%s failed: %s", candidate.name, outcome.reason)
        earlier = self._found.get(candidate.index)
        seconds = time.monotonic() - started + (earlier.seconds if earlier else 0.0)
        outcome = outcome.model_copy(update={"seconds": seconds})
        outcome.write(task.folder / OUTCOME_FILE)
        return outcome

    def _continuing(self, tasks: Sequence[CandidateTask], reached: Sequence[Outcome]) -> list[CandidateTask]:
        """Return the tasks of the candidates that continue after a rung, and stop the others."""
        paused = [outcome for outcome in ranked(list(reached)) if outcome.status == "stopped"]
        kept = max(1, round(len(paused) / self._share.reduction_factor))
        for place, outcome in enumerate(paused[kept:], start=kept + 1):
            epochs = len(outcome.history.epochs) if outcome.history else 0
            reason = f"place {place} of {len(paused)} of its worker after {epochs} epochs, of which {kept} continued"
            logger.info("%s stopped: %s", outcome.name, reason)
            tracking.close_run(outcome.mlflow_run_id, "KILLED", reason=reason)
            self._end(outcome.model_copy(update={"reason": reason}))
        spent = {outcome.index: outcome for outcome in paused[:kept]}
        return [
            replace(task, spent_seconds=known.training_seconds, spent_processor_seconds=known.processor_seconds)
            for task in tasks
            if (known := spent.get(task.candidate.index))
        ]
