"""The record of a training, wherever it is kept: what went in, the figures as they come, and what came out."""

import json
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from tilepipe.components.shared.contracts.manifest import SPLITS, Manifest
from tilepipe.components.shared.runtime import tracking
from tilepipe.components.train.config import TrainConfig
from tilepipe.components.train.tracking.mlflow_run import ARTIFACT_FOLDER, MlflowTracker
from tilepipe.components.train.tracking.system_metrics import SystemMetrics
from tilepipe.components.train.tracking.trackers import (
    LAST_PAUSE_SECONDS,
    PAUSE_SECONDS,
    RUNNING,
    File,
    Outbox,
    Point,
    Results,
    Tracker,
    TrackingOptions,
)
from tilepipe.components.train.tracking.wandb_run import WandbTracker, check_wandb

logger = logging.getLogger("tilepipe.train")

CURVES_FOLDER = f"{ARTIFACT_FOLDER}/curves"

_NAMES = {"loss": "train_loss", "accuracy": "train_accuracy"}
_NOT_LOGGED = {"seconds"}
_MOST_POINTS = 100  # in one request, so that a server that was away is caught up with soon
_FAILED_WAIT_SECONDS = 5.0  # a step that failed has other things to say


class Record:
    """Tells every tracker of a training, in the background; after `start` no tracker can fail or hold up the training.

    Use it as a context manager around the training: that sends what waits, and ends its threads.

    Args:
        trackers: where the training is recorded.
        options: how often, and how long to wait at the end.
        state: what `state` gave when the checkpoint was made that the training goes on from.
        pause_seconds: how long a tracker is left alone that failed.
    """

    def __init__(
        self,
        trackers: Mapping[str, Tracker],
        options: TrackingOptions,
        state: Mapping[str, Any] | None = None,
        *,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        self._trackers, self._options = trackers, options
        self._points = {
            key: Outbox(f"figures for {one.name}", one.log_points, most=_MOST_POINTS, pause_seconds=pause_seconds)
            for key, one in trackers.items()
        }
        # Apart from the figures: a bucket that refuses a file must not keep figures from a database.
        self._files = {
            key: Outbox(f"files for {one.name}", _sender_of_files(one), pause_seconds=pause_seconds)
            for key, one in trackers.items()
        }
        for key, outbox in self._points.items():
            for step, at, metrics in (state or {}).get(key, {}).get("waiting", ()):
                outbox.put(Point(metrics, step, at))
        self._last_running = time.monotonic()
        self._deadline: float | None = None  # of all waiting at the end, once it has begun
        self._machine = SystemMetrics(self._put_sample, options.system_metrics_seconds if trackers else 0.0)

    def start(self, config: TrainConfig, manifest: Manifest, facts: Mapping[str, Any]) -> None:
        """Log what the training starts from: every parameter, and facts of the data, the model and the machine.

        Raises:
            TrackingError: a tracker does not take them. A resumed training has told them, and tells them no more.
        """
        about_data = {
            "name": manifest.name,
            "source": manifest.source,
            "snapshot": manifest.snapshot,
            "digest": manifest.digest,
            "bands": ", ".join(manifest.bands),
            "dtype": manifest.dtype,
            "tile_shape": " x ".join(map(str, manifest.tile_shape)),
            "classes": len(manifest.class_names),
            "class_names": ", ".join(manifest.class_names),
            **{f"{split}_tiles": manifest.splits[split].tiles for split in SPLITS},
        }
        params = {**_flat(config.model_dump()), **{f"data.{name}": fact for name, fact in about_data.items()}, **facts}
        for tracker in self._trackers.values():
            if not tracker.is_continued:
                tracker.log_inputs(params, manifest)

    def running(self, step: int, figures: Mapping[str, float]) -> None:
        """Take figures within an epoch; most calls do nothing, so it may be called as often as one likes.

        Args:
            step: the optimizer's, counted from the training's first.
            figures: such as `loss`, `tiles_per_second`, `seconds_left`.
        """
        interval_seconds, now = self._options.running_figures_seconds, time.monotonic()
        if interval_seconds and now - self._last_running >= interval_seconds:
            self._last_running = now
            self._put(Point.now({f"{RUNNING}{name}": value for name, value in figures.items()}, step))

    def epoch(self, epoch: int, figures: Mapping[str, float], curves: bytes = b"") -> None:
        """Take a finished epoch's figures, and its curve arrays (see `figures.curves_file`)."""
        metrics = {_NAMES.get(name, name): value for name, value in figures.items() if name not in _NOT_LOGGED}
        self._put(Point.now(metrics, epoch))
        if curves:
            for outbox in self._files.values():
                outbox.put(File(f"{CURVES_FOLDER}/epoch-{epoch:03d}.npz", curves))

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds, as JSON: the runs, and those figures that no tracker has taken yet."""
        return {
            key: {
                "run_id": tracker.run_id,
                "waiting": [
                    [point.step, point.at_milliseconds, dict(point.metrics)]
                    for point in self._points[key].waiting
                    if point.step is not None  # those of the machine, which say nothing of the model
                ],
            }
            for key, tracker in self._trackers.items()
        }

    def finish(self, results: Results) -> None:
        """Log what the training ended with; a tracker that is away for long costs it, and no more."""
        self._machine.close()
        self._deadline = self._deadline or time.monotonic() + self._options.tracking_wait_seconds
        for key, tracker in self._trackers.items():
            self._points[key].flush(self._deadline - time.monotonic())
            while not self._is_taken(tracker, results) and time.monotonic() < self._deadline:
                time.sleep(LAST_PAUSE_SECONDS)

    @staticmethod
    def _is_taken(tracker: Tracker, results: Results) -> bool:
        try:
            tracker.log_results(results)
        # Clients raise what they like, as in `Outbox`; and the model is there, tracked or not.
        except Exception as error:
            logger.warning("The model is trained and kept as the step's output, but not in %s: %s", tracker.name, error)
            return False
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._machine.close()
        wait_seconds = self._options.tracking_wait_seconds
        wait_seconds = wait_seconds if kind is None else min(wait_seconds, _FAILED_WAIT_SECONDS)
        deadline = self._deadline or time.monotonic() + wait_seconds
        for key, tracker in self._trackers.items():
            left = [box[key].close(max(deadline - time.monotonic(), 0.0)) for box in (self._points, self._files)]
            if any(left):
                logger.warning(
                    "%s was away to the end and lacks %d sets of figures and %d files. The history holds the figures "
                    "of each epoch.",
                    tracker.name,
                    *left,
                )
            tracker.close(max(deadline - time.monotonic(), 1.0))

    def _put(self, point: Point) -> None:
        for outbox in self._points.values():
            outbox.put(point)

    def _put_sample(self, sample: Mapping[str, float]) -> None:
        self._put(Point.now(sample, None))


def open_record(
    config: TrainConfig, manifest: Manifest, options: TrackingOptions, state: Mapping[str, Any] | None = None
) -> tuple[str, Record]:
    """Open a run in each tracker that is configured, or go on in the ones that a checkpoint names.

    Args:
        config: the step's parameters.
        manifest: what is trained on.
        options: what is tracked beside MLflow.
        state: `Record.state` of the checkpoint that the training goes on from.

    Returns:
        The MLflow run's id, or `tracking.UNTRACKED`; and the record.

    Raises:
        ParameterError: Weights & Biases was asked for and cannot be reported to.
        TrackingError: a server cannot be reached at the start; at a resume its figures wait for it.
    """
    check_wandb(options)
    run_ids = {key: str(one.get("run_id", "")) for key, one in (state or {}).items()}
    trackers: dict[str, Tracker] = {}
    name = os.environ.get("KFP_WORKFLOW_NAME") or manifest.name
    tags = {"tilepipe.data": manifest.name, "tilepipe.data_digest": manifest.digest}
    resumed = run_ids.get("mlflow", tracking.UNTRACKED)
    run_id = tracking.open_run(config.experiment, name, tags, resumed_run_id=resumed)
    if run_id != tracking.UNTRACKED:
        # A pod that was started again before its first checkpoint finds the run by Kubeflow's, figures and all.
        retried = bool(tracking.kfp_run_id())
        trackers["mlflow"] = MlflowTracker(run_id, is_resumed=run_id == resumed, may_hold_figures=retried)
    if options.wandb_project:
        trackers["wandb"] = WandbTracker(options, name, run_ids.get("wandb", ""))
    return run_id, Record(trackers, options, state)


def _sender_of_files(tracker: Tracker) -> Callable[[Sequence[File]], None]:
    def send(files: Sequence[File]) -> None:
        for file in files:
            tracker.log_file(file)

    return send


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested names joined by dots; lists as JSON."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found.update(_flat(value, f"{prefix}{name}."))
        else:
            found[f"{prefix}{name}"] = json.dumps(value) if isinstance(value, list | tuple) else value
    return found
