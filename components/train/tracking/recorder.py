"""Recording of a training in all configured trackers: parameters, figures and results."""

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from tilepipe.components.shared.contracts.manifest import SPLITS, Manifest
from tilepipe.components.shared.runtime.run_settings import run_settings
from tilepipe.components.shared.tracking import nested_runs, tracking
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
_MOST_POINTS = 100  # per request, to catch up quickly after an outage
_FAILED_WAIT_SECONDS = 5.0  # a failed step must not wait long


class Record:
    """Background recording of a training in every tracker; after `start` no tracker can fail or delay the training.

    Use it as a context manager around the training: on exit it sends queued items and ends its threads.

    Args:
        trackers: the trackers, by key.
        options: the tracking options.
        state: result of `state` in the checkpoint that the training resumes from.
        pause_seconds: pause after a failure of a tracker. Defaults to 60.
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
        # Separate from the figures: a bucket that rejects a file must not delay figures for a database.
        self._files = {
            key: Outbox(f"files for {one.name}", _sender_of_files(one), pause_seconds=pause_seconds)
            for key, one in trackers.items()
        }
        for key, outbox in self._points.items():
            for step, at, metrics in (state or {}).get(key, {}).get("waiting", ()):
                outbox.put(Point(metrics, step, at))
        self._last_running = time.monotonic()
        self._deadline: float | None = None  # of all waits at the end, once they have begun
        self._machine = SystemMetrics(
            lambda sample: self._put(Point.now(sample, None)), options.system_metrics_seconds if trackers else 0.0
        )

    def start(self, parameters: Mapping[str, Any], manifest: Manifest, facts: Mapping[str, Any]) -> None:
        """Log the inputs of the training, and facts about the data, the model and the machine.

        Args:
            parameters: the parameters of the step that differ from their defaults; nested names are joined by dots.
            manifest: the training data.
            facts: further facts, by name.

        Raises:
            TrackingError: a tracker rejects them. A run that continues has them already.
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
        own = nested_runs.parameters()
        replaced = {name.partition(".")[0] for name in own}  # in a sweep, those of the pipeline are of no candidate
        settings = {name: value for name, value in run_settings().items() if name not in replaced}
        params = {**_flat(parameters), **settings, **_flat(own), **facts}
        params |= {f"data.{name}": fact for name, fact in about_data.items() if fact != ""}
        for tracker in self._trackers.values():
            if not tracker.is_continued:
                tracker.log_inputs(params, manifest)

    def running(self, step: int, figures: Mapping[str, float]) -> None:
        """Record figures within an epoch, at most once per interval; call it as often as needed.

        Args:
            step: optimizer step of the training.
            figures: such as `loss`, `tiles_per_second`, `seconds_left`.
        """
        interval_seconds, now = self._options.running_figures_seconds, time.monotonic()
        if interval_seconds and now - self._last_running >= interval_seconds:
            self._last_running = now
            self._put(Point.now({f"{RUNNING}{name}": value for name, value in figures.items()}, step))

    def epoch(self, epoch: int, figures: Mapping[str, float], curves: bytes = b"") -> None:
        """Record the figures of a finished epoch, and its curve arrays (see `epoch_figures.curves_file`)."""
        metrics = {_NAMES.get(name, name): value for name, value in figures.items() if name not in _NOT_LOGGED}
        self._put(Point.now(metrics, epoch))
        if curves:
            for outbox in self._files.values():
                outbox.put(File(f"{CURVES_FOLDER}/epoch-{epoch:03d}.npz", curves))

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint, as JSON: the runs and the figures that are not yet sent."""
        return {
            key: {
                "run_id": tracker.run_id,
                "waiting": [
                    [point.step, point.at_milliseconds, dict(point.metrics)]
                    for point in self._points[key].waiting
                    if point.step is not None  # without system metrics, which are not about the model
                ],
            }
            for key, tracker in self._trackers.items()
        }

    def finish(self, results: Results) -> None:
        """Log the results; if a tracker stays unreachable, only its record is lost."""
        self._machine.close()
        self._deadline = time.monotonic() + self._options.tracking_wait_seconds
        for key, tracker in self._trackers.items():
            self._points[key].flush(self._deadline - time.monotonic())
            while not self._is_taken(tracker, results) and time.monotonic() < self._deadline:
                time.sleep(LAST_PAUSE_SECONDS)

    @staticmethod
    def _is_taken(tracker: Tracker, results: Results) -> bool:
        try:
            tracker.log_results(results)
        # As in `Outbox`, no error of a client may stop the step, whose model is complete.
        except Exception as error:
            logger.warning("the model is saved as the output of the step, but not in %s: %s", tracker.name, error)
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
                    "%s was unreachable at the end and lacks %d sets of figures and %d files. The history holds the "
                    "figures of each epoch.",
                    tracker.name,
                    *left,
                )
            tracker.close(max(deadline - time.monotonic(), 1.0))

    def _put(self, point: Point) -> None:
        for outbox in self._points.values():
            outbox.put(point)


def open_record(
    experiment: str,
    manifest: Manifest,
    options: TrackingOptions,
    state: Mapping[str, Any] | None = None,
    *,
    architecture: str = "",
) -> tuple[str, Record]:
    """Open a run in each configured tracker, or continue the runs of a checkpoint.

    Args:
        experiment: name of the MLflow experiment.
        manifest: the training data.
        options: the tracking options.
        state: `Record.state` of the checkpoint that the training resumes from. Defaults to None.
        architecture: name of the network, which is part of the names of the runs. Defaults to none.

    Returns:
        The MLflow run's id, or `tracking.UNTRACKED`; and the record.

    Raises:
        ParameterError: Weights & Biases is enabled but not usable.
        TrackingError: a server cannot be reached at the start; on resuming, figures are queued instead.
    """
    check_wandb(options)
    run_ids = {key: str(one.get("run_id", "")) for key, one in (state or {}).items()}
    trackers: dict[str, Tracker] = {}
    name = " ".join(filter(None, (manifest.name, architecture, tracking.short_kfp_run_id())))
    tags = {"tilepipe.data": manifest.name, "tilepipe.data_digest": manifest.digest}
    resumed = run_ids.get("mlflow", tracking.UNTRACKED)
    run_id = tracking.open_run(experiment, name, tags, resumed_run_id=resumed)
    if run_id != tracking.UNTRACKED:
        # A pod restarted before its first checkpoint finds the run by that of Kubeflow, possibly with figures.
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
    """Flatten nested mappings, with names joined by dots and lists as JSON."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found.update(_flat(value, f"{prefix}{name}."))
        else:
            found[f"{prefix}{name}"] = json.dumps(value) if isinstance(value, list | tuple) else value
    return found
