"""Cost of the work around the steps of a training, as a share of epochs of one minute.

With the default model and options, an MLflow store in SQLite and checkpoints in a local folder, each of these is
measured separately, several times, on a paused loop:

- after each step, the figures are counted and the clock is read;
- each epoch begins with building its input, up to its first batch; it ends with figures per class, the best weights
  (each epoch is the best one, as at the beginning of a training), a log line, and the figures for MLflow;
- twice per minute MLflow gets figures within the epoch, and six times per minute system metrics;
- every two minutes there is a checkpoint with new best weights.

A cost is the time for which the training is blocked and, since there are only two cores, the processor time of the
background threads. Validation is not included, since its extent is the user's choice.
"""

import contextlib
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import numpy as np

from tests.bench.generated import CLASSES, Generated
from tests.support.loops import HaltError, Look
from tests.support.measure import Figure
from tilepipe.components.shared.contracts.manifest import Manifest
from tilepipe.components.train.checkpoints.checkpoints import Checkpoints
from tilepipe.components.train.checkpoints.intervals import CheckpointOptions
from tilepipe.components.train.config import TrainConfig
from tilepipe.components.train.figures.epoch_figures import curves_file, epoch_figures
from tilepipe.components.train.input.batches import Batches
from tilepipe.components.train.loop.interruptions import InterruptionHandler
from tilepipe.components.train.loop.sigterm import StopRequest
from tilepipe.components.train.tracking.recorder import Record, open_record

if TYPE_CHECKING:
    import keras

_SHARDS, _BINS = 4, 256
_TIMES = 5
_STEPS = 1000
_A_MINUTE = {"step": 0.0, "start": 1.0, "epoch": 1.0, "running": 2.0, "machine": 6.0, "checkpoint": 0.5}
"""Number of times per minute; that of `step` is replaced by the steps of the default model."""
_MACHINE_SECONDS = 3600.0
"""So long that system metrics are sampled only by the measurement."""


@dataclass(frozen=True)
class Cost:
    """Cost of one execution, in seconds."""

    pause: float
    """Seconds for which the training is blocked."""
    behind: float = 0.0
    """Processor time of other threads."""

    @property
    def seconds(self) -> float:
        """Sum of both."""
        return self.pause + self.behind


def measure(scratch: Path, tiles: Generated, steps_a_minute: float) -> list[Figure]:
    """Measure the work around the steps.

    Args:
        scratch: a folder.
        tiles: tiles to train on.
        steps_a_minute: number of steps of the default model per minute.
    """
    tiles = tiles.first(_SHARDS)
    with patch.dict(os.environ, MLFLOW_TRACKING_URI=f"sqlite:///{scratch / 'mlflow.db'}"):
        with _paused(tiles, tiles.base_model("cnn"), scratch / "checkpoints") as training:
            costs = training.costs()
        # 2.7 million parameters, each with two moments of the optimizer
        with _paused(tiles, tiles.base_model("compact", width=3.0), scratch / "large-checkpoints") as training:
            large = training.checkpoint()
    share = sum(times * costs[name].seconds for name, times in {**_A_MINUTE, "step": steps_a_minute}.items()) / 60
    return [
        *(Figure(f"train.cost.{name}", cost.seconds * 1000, "ms") for name, cost in costs.items()),
        Figure("train.overhead_share", share, "of the time", "< 0.02", share < 0.02),
        Figure("train.checkpoint.pause", costs["checkpoint"].pause * 1000, "ms"),
        Figure("train.checkpoint.pause_30_mb", large.pause * 1000, "ms"),
    ]


@contextlib.contextmanager
def _paused(tiles: Generated, base_model: Path, checkpoints: Path) -> Iterator["PausedTraining"]:
    """Set up a training that makes no step."""
    from tilepipe.components.shared.contracts.model_file import load_model

    options = {"system_metrics_seconds": _MACHINE_SECONDS}
    config = TrainConfig.parse(epochs=1000, options=options)
    model = load_model(base_model, tiles.manifest)
    _, record = open_record(config.experiment, tiles.manifest, config.options)
    with record, tiles.batches(config) as batches, Checkpoints(str(checkpoints), "bench") as kept:
        yield PausedTraining(model, config, tiles.manifest, batches, record, kept)


class PausedTraining:
    """A paused training, and each operation around its steps, measured separately."""

    def __init__(
        self,
        model: "keras.Model",
        config: TrainConfig,
        manifest: Manifest,
        batches: Batches,
        record: Record,
        checkpoints: Checkpoints,
    ) -> None:
        import tensorflow as tf

        from tilepipe.components.train.loop.devices import Devices
        from tilepipe.components.train.loop.epochs import Epochs
        from tilepipe.components.train.loop.loop import Loop

        self._model, self._config, self._batches = model, config, batches
        self._record, self._checkpoints = record, checkpoints
        self._epoch = 0
        self._epochs = Epochs(config, (_STEPS * config.batch_size, 1000), record)
        devices = Devices(tf.distribute.get_strategy(), "CPU", 0)
        self._loop = Loop(model, config, manifest, batches, devices, self._epochs)
        with contextlib.suppress(HaltError):
            self._loop.run(Look(at=((0, 0),), halts=True), config.learning_rate)

    def costs(self) -> dict[str, Cost]:
        """Measure all costs, by the names in `_A_MINUTE`."""
        return {
            "step": self._steps(),
            "start": _typical(self._start),
            "epoch": _typical(self._ended),
            "running": _typical(self._running),
            "machine": _typical(self._machine),
            "checkpoint": self.checkpoint(),
        }

    def checkpoint(self) -> Cost:
        """Measure a checkpoint with new best weights."""
        return _typical(self._checkpoint)

    def _steps(self) -> Cost:
        import tensorflow as tf

        logs = {"loss": tf.constant(1.0), "accuracy": tf.constant(0.5)}
        watch = self._watch(CheckpointOptions())
        self._epochs.begin(1, 0)

        def act() -> None:
            for step in range(1, _STEPS + 1):
                self._epochs.stepped(step, logs)
                watch.stepped(self._loop)

        cost = _cost(act, self._wait_for_tracker)
        return Cost(cost.pause / _STEPS, cost.behind / _STEPS)

    def _start(self, number: int) -> Cost:
        # Other threads meanwhile build batches that are used, which is no overhead.
        return Cost(_cost(lambda: next(iter(self._batches.train(number)))).pause)

    def _ended(self, number: int) -> Cost:
        rng = np.random.default_rng(number)
        counts, scores = rng.integers(1, 100, (10, 10)), rng.integers(0, 100, (10, _BINS, 2))
        watch = self._watch(CheckpointOptions())

        def act() -> None:
            curves = curves_file(CLASSES, counts, scores)
            self._end_epoch(epoch_figures(counts, CLASSES), curves)
            watch.epoch_ended(self._loop)

        return _cost(act, self._wait_for_tracker)

    def _running(self, number: int) -> Cost:
        figures = {"running/loss": 1.0, "running/tiles_per_second": 500.0, "running/seconds_left": 600.0}
        return _cost(lambda: self._record.epoch(number, figures), self._wait_for_tracker)

    def _machine(self, _: int) -> Cost:
        return _cost(lambda: self._record._put_sample(self._record._machine.sample()), self._wait_for_tracker)

    def _checkpoint(self, _: int) -> Cost:
        variable = self._model.trainable_variables[0]
        variable.assign(variable + 0.001)
        self._end_epoch({}, b"")
        self._wait_for_tracker()
        watch = self._watch(CheckpointOptions(checkpoint_every_seconds=1e-6))
        return _cost(lambda: watch.stepped(self._loop), self._checkpoints.wait)

    def _end_epoch(self, figures: Mapping[str, float], curves: bytes) -> None:
        """End another epoch, the best one so far."""
        self._epoch += 1
        figures = {**figures, "loss": 1.0, "accuracy": 0.5, "learning_rate": 0.001, "val_loss": 1.0}
        figures["val_accuracy"] = self._epoch / 1000
        self._epochs.begin(self._epoch, 0)
        self._epochs.consider(figures, self._model)
        self._epochs.end(figures, 60.0, 1.0, curves)

    def _watch(self, options: CheckpointOptions) -> InterruptionHandler:
        return InterruptionHandler(self._checkpoints, options, self._record, {}, StopRequest())

    def _wait_for_tracker(self) -> None:
        boxes = [box for group in (self._record._points, self._record._files) for box in group.values()]
        while any(box.waiting for box in boxes):
            time.sleep(0.01)


def _cost(act: Callable[[], object], wait: Callable[[], object] = lambda: None) -> Cost:
    """Measure one execution.

    Args:
        act: the work of the training.
        wait: waits until the background work that it causes is done.
    """
    everywhere, here, started = time.process_time(), time.thread_time(), time.perf_counter()
    act()
    pause = time.perf_counter() - started
    wait()
    return Cost(pause, time.process_time() - everywhere - (time.thread_time() - here))


def _typical(measured: Callable[[int], Cost]) -> Cost:
    """Return the median after a first execution, which imports modules and fills tables."""
    found = [measured(number) for number in range(1 + _TIMES)][1:]
    return Cost(statistics.median(cost.pause for cost in found), statistics.median(cost.behind for cost in found))
