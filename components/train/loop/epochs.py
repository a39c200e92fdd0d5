"""State of a training across epochs: figures, log lines, the best weights and early stopping."""

import logging
import math
import time
from collections.abc import Mapping
from typing import Any

import keras  # noqa: TID253 - only functions import this module
import numpy as np
import numpy.typing as npt

from tilepipe.components.shared.contracts.history import LAST_EPOCH, History, rank
from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.shared.logs.progress import Progress
from tilepipe.components.train.checkpoints.variables import put_back, values_of
from tilepipe.components.train.config import TrainConfig
from tilepipe.components.train.tracking.recorder import Record

logger = logging.getLogger("tilepipe.train")

_SAFE_RATE = 0.01
"""Learning rate to suggest in place of a far larger one, of which a tenth would not help."""


class Epochs:
    """Progress of a training from epoch to epoch.

    Args:
        config: the step's parameters.
        tiles: number of training tiles and of validation tiles per epoch; 0 if there are none.
        record: receives the figures of each epoch.
        check_every_steps: interval between checks of the loss, each of which synchronizes with the GPU. Defaults to 1.
    """

    def __init__(
        self, config: TrainConfig, tiles: tuple[int, int], record: Record, *, check_every_steps: int = 1
    ) -> None:
        self._config, self._record, self._check_every = config, record, check_every_steps
        self._train_tiles, self._val_tiles = tiles
        self.metric = config.options.best_metric if self._val_tiles else LAST_EPOCH
        self.learning_rate = config.learning_rate
        """Initial learning rate of the current phase, for messages."""
        self.best_weights: Mapping[str, npt.NDArray[Any]] = {}
        self._epochs: list[dict[str, float]] = []
        self._best_epoch = self._epoch = self._first_step = self._checked_step = 0  # epochs are counted from 1
        self._validation_seconds = 0.0
        self._progress = Progress(logger, "", None, "tiles")

    @property
    def history(self) -> History:
        """Figures of the epochs so far."""
        return History(metric=self.metric, best_epoch=self._best_epoch, epochs=tuple(self._epochs))

    @property
    def is_enough(self) -> bool:
        """True if early stopping applies; the patience starts over in a second phase."""
        options = self._config.options
        patience, since = options.early_stopping_patience_epochs, max(self._best_epoch, options.head_epochs)
        return bool(patience) and len(self._epochs) - since >= patience

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint besides the weights, as JSON."""
        return {"best_epoch": self._best_epoch, "epochs": [dict(figures) for figures in self._epochs]}

    def restore(self, state: Mapping[str, Any], best_weights: Mapping[str, npt.NDArray[Any]]) -> None:
        """Restore what `state` returned."""
        self._best_epoch, self._epochs = int(state["best_epoch"]), [dict(figures) for figures in state["epochs"]]
        self.best_weights = best_weights

    def begin(self, epoch: int, first_step: int) -> None:
        """Begin an epoch, or resume it after its first steps."""
        self._epoch, self._first_step, self._checked_step = epoch, first_step, first_step
        already = first_step * self._config.batch_size
        self._progress = Progress(
            logger,
            f"{self._title}: trained on",
            self._train_tiles,
            "tiles",
            already=already,
            seconds_left=self._seconds_left,
        )

    def stepped(self, step: int, logs: Mapping[str, Any]) -> None:
        """Count the tiles of finished steps, and stop if the loss is not finite.

        Args:
            step: finished steps of this epoch.
            logs: means over the epoch so far.

        Raises:
            ParameterError: the loss is not finite.
        """
        tiles = min(step * self._config.batch_size, self._train_tiles)
        self._progress.advance(tiles - self._progress.done)
        if step - self._checked_step >= self._check_every or tiles == self._train_tiles:
            loss = float(logs["loss"])
            self._check(loss, "loss", f"batch {self._checked_step + 1}", f"batch {step}")
            self._checked_step = step
            rate = self._progress.rate(time.monotonic())
            running = {"loss": loss, "tiles_per_second": rate, "seconds_left": self._seconds_left(tiles, rate)}
            self._record.running((self._epoch - 1) * (self._train_tiles // self._config.batch_size) + step, running)

    def consider(self, figures: Mapping[str, float], model: keras.Model) -> None:
        """Keep the weights of the model if this epoch is the best; without validation that is the last one.

        Raises:
            ParameterError: the validation loss or a weight is not finite.
        """
        if self.metric != LAST_EPOCH:
            self._check(figures["val_loss"], "val_loss", "the validation")
        self._check_weights(model, figures["loss"])
        if self.metric == LAST_EPOCH:
            self._best_epoch = self._epoch
            return
        best = self._epochs[self._best_epoch - 1] if self._best_epoch else None
        if best is None or rank(self.metric, figures) > rank(self.metric, best):
            self._best_epoch, self.best_weights = self._epoch, values_of({"best": model.weights})

    def end(
        self, figures: Mapping[str, float], trained_seconds: float, validated_seconds: float, curves: bytes
    ) -> None:
        """End an epoch, and report its figures.

        Args:
            figures: means over the training tiles, and figures of the validation tiles.
            trained_seconds: training time of this process, from its first step of the epoch on.
            validated_seconds: validation time.
            curves: content of the curves file of the validation.
        """
        tiles = self._train_tiles - self._first_step * self._config.batch_size
        timed = {
            **figures,
            "seconds": trained_seconds + validated_seconds,
            # 0 if all steps were finished before a resume.
            "tiles_per_second": tiles / max(trained_seconds, 1e-9),
        }
        self._epochs.append(timed)
        self._validation_seconds = validated_seconds
        # Estimated from the last epoch only: the first one includes the tracing of TensorFlow graphs.
        whole_epoch_seconds = trained_seconds * self._train_tiles / max(tiles, 1) + validated_seconds
        seconds_left = (self._config.epochs - self._epoch) * whole_epoch_seconds
        logger.info("%s", self._line(timed, seconds_left))
        self._record.epoch(self._epoch, {**timed, "seconds_left": seconds_left}, curves)
        if self.is_enough and self._epoch < self._config.epochs:
            patience = self._config.options.early_stopping_patience_epochs
            logger.info("early stopping: %s has not improved for %d epochs", self.metric, patience)

    def give_best(self, model: keras.Model) -> None:
        """Restore the weights of the best epoch."""
        put_back({"best": model.weights}, self.best_weights)

    @property
    def _title(self) -> str:
        return f"epoch {self._epoch} of {self._config.epochs}"

    def _seconds_left(self, tiles: int, rate: float) -> float:
        """Estimate the time left, including validation once this process has measured one."""
        left = (self._config.epochs - self._epoch) * self._train_tiles + self._train_tiles - tiles
        validations = self._config.epochs - self._epoch + 1
        return left / max(rate, 1e-9) + validations * self._validation_seconds

    def _line(self, figures: Mapping[str, float], seconds_left: float) -> str:
        names = ("loss", "accuracy", "val_loss", "val_accuracy", "val_balanced_accuracy")
        named = ", ".join(f"{name} {figures[name]:.3f}" for name in names if name in figures)
        line = f"{self._title}: {named}, {figures['tiles_per_second']:,.0f} tiles per second"
        return f"{line}, {seconds_left:,.0f} s left" if self._epoch < self._config.epochs else line

    def _check(self, value: float, name: str, first: str, last: str = "") -> None:
        if math.isfinite(value):
            return
        where = f"{first} to {last}" if last and last != first else first
        kept = " The last checkpoint before it is kept." if self._config.checkpoint_uri else ""
        raise ParameterError(
            f"The loss must stay finite. Received: a {name} of {value} in {self._title}, {where}, with "
            f"{self._rate_and_remedy}; if that does not help, look for NaN or extreme values in the manifest's "
            f"statistics.{kept}"
        )

    def _check_weights(self, model: keras.Model, loss: float) -> None:
        """Check the weights themselves: TensorFlow's kernels for convolution and ReLU at once turn NaN into 0."""
        for weight in model.weights:
            if not np.isfinite(weight.numpy()).all():
                raise ParameterError(
                    f"The weights must stay finite. Received: NaN or infinity in {weight.path} after {self._title}, "
                    f"with a loss of {loss:.3g}, {self._rate_and_remedy}; if the model started from weights of your "
                    "own, check that they are finite."
                )

    @property
    def _rate_and_remedy(self) -> str:
        """Optimizer and learning rate of the current phase, and what to use instead; a part of a message."""
        options = self._config.options
        name = "finetune_learning_rate" if 0 < options.head_epochs < self._epoch else "learning_rate"
        is_found = options.learning_rate_finder == "use" and name == "learning_rate"
        without_finder = "learning_rate_finder='report' and " if is_found else ""
        return (
            f"optimizer={self._config.optimizer!r} and {name}={self.learning_rate:g}. Use {without_finder}a smaller "
            f"{name}, such as {min(self.learning_rate / 10, _SAFE_RATE):g}, or gradient_clip_norm=1"
        )
