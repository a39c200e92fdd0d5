"""What happens around each epoch: figures, log lines, the best weights, and reasons to stop."""

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras  # noqa: TID253 - a Keras callback; only functions import this module

from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.shared.history import ChosenBy, History
from tilepipe.components.shared.progress import Progress
from tilepipe.components.train.config import TrainConfig

logger = logging.getLogger("tilepipe.train")


@dataclass
class BestEpoch:
    """Keeps the weights of the best epoch so far.

    Args:
        metric: the figure that decides; where two epochs are equal in it, the smaller validation loss does. Without
            validation the last epoch is the best one, and its weights are the model's already.
    """

    metric: ChosenBy
    epoch: int = 0
    weights: list[Any] = field(default_factory=list)
    _rank: tuple[float, float] = (-math.inf, -math.inf)

    def see(self, epoch: int, figures: Mapping[str, float], model: keras.Model) -> None:
        """Take the model's weights if this epoch is better than all before."""
        if self.metric == "last_epoch":
            self.epoch = epoch
            return
        loss = -figures["val_loss"]
        rank = (loss if self.metric == "val_loss" else figures[self.metric], loss)
        if rank > self._rank:
            self.epoch, self._rank, self.weights = epoch, rank, model.get_weights()


class Epochs(keras.callbacks.Callback):  # type: ignore[misc] # Keras has no types
    """Watches a training from epoch to epoch.

    Args:
        config: the step's parameters.
        tiles: how many tiles an epoch trains on, and how many it validates on; 0 for none.
        report: takes each finished epoch's number and figures.
    """

    def __init__(
        self, config: TrainConfig, tiles: tuple[int, int], report: Callable[[int, Mapping[str, float]], None]
    ) -> None:
        super().__init__()
        self._config, self._report = config, report
        self._train_tiles, self._val_tiles = tiles
        self._best = BestEpoch(config.options.best_metric if self._val_tiles else "last_epoch")
        self._epochs: list[dict[str, float]] = []
        self._epoch = 0  # counted from 1, as people do
        self._started = self._trained = 0.0
        self._progress = Progress(logger, "", None, "tiles")

    @property
    def history(self) -> History:
        """Figures of the epochs so far."""
        return History(metric=self._best.metric, best_epoch=self._best.epoch, epochs=tuple(self._epochs))

    def restore_best(self) -> None:
        """Give the model the weights of its best epoch."""
        if self._best.weights:
            self.model.set_weights(self._best.weights)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:  # noqa: ARG002
        """Start the clock."""
        self._epoch = epoch + 1
        self._started = time.monotonic()
        self._progress = Progress(logger, f"{self._title}: trained on", self._train_tiles, "tiles")

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Count the batch, and stop where the loss is no number: no later step mends that."""
        self._check((logs or {})["loss"], "loss", f"batch {batch + 1}")
        self._progress.advance(self._config.batch_size)

    def on_test_begin(self, logs: Mapping[str, float] | None = None) -> None:  # noqa: ARG002
        """Stop the training's clock."""
        self._trained = time.monotonic()
        self._progress = Progress(logger, f"{self._title}: validated on", self._val_tiles, "tiles")

    def on_test_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:  # noqa: ARG002
        """Count the batch."""
        self._progress.advance(min(self._config.batch_size, self._val_tiles - self._progress.done))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:  # noqa: ARG002
        """Write down the figures, keep the weights if they are the best, report, and stop early where asked to."""
        figures = {name: float(value) for name, value in (logs or {}).items()}
        if self._val_tiles:
            self._check(figures["val_loss"], "val_loss", "the validation")
        else:
            self._trained = time.monotonic()
        figures["learning_rate"] = float(self.model.optimizer.learning_rate)
        figures["seconds"] = time.monotonic() - self._started
        figures["tiles_per_second"] = self._train_tiles / max(self._trained - self._started, 1e-9)
        self._epochs.append(figures)
        self._best.see(self._epoch, figures, self.model)
        logger.info("%s", self._line(figures))
        self._report(self._epoch, figures)
        patience = self._config.options.early_stopping_patience_epochs
        if patience and self._epoch - self._best.epoch >= patience and self._epoch < self._config.epochs:
            logger.info("stopped early: the best %s is %d epochs old", self._best.metric, patience)
            self.model.stop_training = True

    @property
    def _title(self) -> str:
        return f"epoch {self._epoch} of {self._config.epochs}"

    def _line(self, figures: Mapping[str, float]) -> str:
        names = [name for name in ("loss", "accuracy", "val_loss", "val_accuracy") if name in figures]
        named = ", ".join(f"{name} {figures[name]:.3f}" for name in names)
        line = f"{self._title}: {named}, {figures['tiles_per_second']:,.0f} tiles a second"
        left = self._config.epochs - self._epoch
        if left:
            # By the last epoch alone: the first one holds the building of TensorFlow's graphs.
            line += f", {left * figures['seconds']:,.0f} s left"
        return line

    def _check(self, value: float, name: str, where: str) -> None:
        if math.isfinite(value):
            return
        raise ParameterError(
            f"The loss must stay a number. Received: {name}={value} in {self._title}, {where}, with "
            f"optimizer={self._config.optimizer!r} and learning_rate={self._config.learning_rate:g}. "
            f"Use a smaller learning_rate, such as {self._config.learning_rate / 10:g}; if that does not help, look "
            "for NaN or extreme values in the manifest's statistics."
        )
