"""Training loop around Keras' train function that can be stopped and resumed at any step."""

import logging
import time
from dataclasses import dataclass
from typing import Any

import keras  # noqa: TID253 - only functions import this module

from tilepipe.components.shared.contracts.history import History, lower_is_better
from tilepipe.components.shared.contracts.manifest import Manifest
from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.shared.layers.model_layers import backbone_of, layers_of
from tilepipe.components.train.checkpoints.file import State
from tilepipe.components.train.checkpoints.variables import put_back, values_of
from tilepipe.components.train.config import TrainConfig
from tilepipe.components.train.input.batches import Batches
from tilepipe.components.train.loop.devices import Devices
from tilepipe.components.train.loop.ema import Averages
from tilepipe.components.train.loop.epochs import Epochs
from tilepipe.components.train.loop.interruptions import InterruptionHandler, Paused
from tilepipe.components.train.loop.validation import Validation
from tilepipe.components.train.optimization.learning_rate_finder import RateCurve, find_rate
from tilepipe.components.train.optimization.losses import make_loss
from tilepipe.components.train.optimization.schedules import Phase, Plateau, make_schedule, phases

logger = logging.getLogger("tilepipe.train")


@dataclass
class Position:
    """Position of a training."""

    epoch: int = 0
    """Finished epochs."""
    step: int = 0
    """Finished steps of the next epoch."""


class TrainingModel(keras.Model):  # type: ignore[misc] # Keras has no types
    """The classifier with a training step on the batches; it shares the layers of the model that is saved.

    Args:
        model: the classifier, which itself is never compiled.
        batches: the training batches.
    """

    def __init__(self, model: keras.Model, batches: Batches) -> None:
        super().__init__(model.input, model.output, name=model.name)
        self._batches = batches

    def train_step(self, data: Any) -> Any:  # noqa: ANN401 - an element of the batches
        """Train on a batch, which is built here if the tiles are on the device."""
        return super().train_step(self._batches.to_batch(data) if self._batches.builds_on_device else data)


class Loop:
    """One training, from the start or from a checkpoint.

    All state is in Keras variables or in the JSON facts of `state`; order and augmentation of the tiles depend only on
    seed, epoch and step. So a loop with restored state continues bit for bit as the original (on a CPU, or with
    deterministic kernels).

    Args:
        model: the classifier; it ends with the weights of its best epoch, and is not compiled.
        config: the parameters of the step.
        manifest: description of the tiles.
        batches: the training and validation batches.
        devices: the devices to compute on.
        epochs: collects the figures, selects the best epoch and stops early.
    """

    def __init__(
        self,
        model: keras.Model,
        config: TrainConfig,
        manifest: Manifest,
        batches: Batches,
        devices: Devices,
        epochs: Epochs,
    ) -> None:
        with devices.strategy.scope():
            self._model = TrainingModel(model, batches)
        self._config = config
        self._batches, self._devices, self._epochs = batches, devices, epochs
        self._backbone = backbone_of(model)
        # Per layer, since only the last blocks of a backbone may be trainable; freezing it loses that.
        self._free = [layer for layer in layers_of(self._backbone) if layer.trainable] if self._backbone else []
        self._can_be_frozen = self._backbone is not None and bool(self._backbone.trainable_variables)
        self._at = Position()
        self._plateau: Plateau | None = None
        self._train_metrics: list[keras.Metric] = []
        self._averages = Averages(self._model, batches, devices)
        self._validation = Validation(self._model, batches, config.options, manifest.class_names, devices)

    @property
    def state(self) -> State:
        """State that is sufficient for an equal loop to resume."""
        arrays = values_of(self._variables)
        facts = {
            "epoch": self._at.epoch,
            "step": self._at.step,
            "plateau": self._plateau.state() if self._plateau else None,
            "epochs": self._epochs.state(),
        }
        return State(arrays, self._epochs.best_weights, facts)

    def run(
        self,
        interruptions: InterruptionHandler,
        learning_rate: float,
        start: State | None = None,
        *,
        pause_after_epochs: int = 0,
    ) -> History:
        """Train to the last epoch or early stopping; the model ends with the weights of its best epoch.

        Args:
            interruptions: saves checkpoints and handles stop requests between steps.
            learning_rate: initial learning rate of the schedule.
            start: state of a loop with the same parameters and tiles. Defaults to None: start from the beginning.
            pause_after_epochs: pause after this number of epochs, unless it is the last one. Defaults to 0: never.

        Returns:
            The figures of each epoch.

        Raises:
            ParameterError: the loss is not finite.
            ArtifactError: the state belongs to another model, or a shard is damaged.
            Stopped: the process was asked to stop; the last checkpoint holds the state.
            Paused: the training has reached `pause_after_epochs`; the last checkpoint holds the state.
        """
        divided = phases(self._config.epochs, learning_rate, self._config.options)
        if start is not None:
            self._at = Position(int(start.facts["epoch"]), int(start.facts["step"]))
            self._epochs.restore(start.facts["epochs"], start.best)
        for phase in divided:
            is_last = phase is divided[-1]
            if self._at.epoch >= phase.first_epoch + phase.epochs and not is_last:
                continue
            self._begin(phase)
            if start is not None:
                self._restore(start, phase)
                start = None
            elif phase is divided[0]:
                interruptions.begun(self)
            while self._at.epoch < phase.first_epoch + phase.epochs and not self._epochs.is_enough:
                if not 0 < pause_after_epochs == self._at.epoch:  # it was killed after the last checkpoint of its pause
                    self._run_epoch(interruptions)
                if self._at.epoch == pause_after_epochs < self._config.epochs and not self._epochs.is_enough:
                    interruptions.pause(self)
                    raise Paused(self._epochs.history)
        if self._batches.has_validation:
            self._epochs.give_best(self._model)
        else:
            self._averages.keep(max(self._at.epoch - 1, 0))
        history = self._epochs.history
        logger.info("best epoch: %d of %d, by %s", history.best_epoch, len(history.epochs), history.metric)
        return history

    def find_rate(self, learning_rate: float) -> RateCurve:
        """Run the learning-rate finder on the first batches, and restore the model."""
        options = self._config.options
        before = values_of({"model": self._model.variables})
        self._begin(phases(self._config.epochs, learning_rate, options)[0], changes_rate=False)
        with self._batches.translate_errors():
            batches = self._devices.feed(self._batches.train(0, 0).repeat())

            def step(rate: float) -> float:
                self._model.optimizer.learning_rate = rate
                loss = self._train_metrics[0]
                loss.reset_state()
                self._model.train_function(batches)
                return float(loss.result())

            curve = find_rate(step, options.finder_steps)
        put_back({"model": self._model.variables}, before)
        return curve

    def _begin(self, phase: Phase, *, changes_rate: bool = True) -> None:
        """Compile the model for a phase: its trainable variables, and so those of the optimizer, differ per phase."""
        options, model = self._config.options, self._model
        self._epochs.learning_rate = phase.learning_rate
        if self._backbone is not None and self._can_be_frozen:
            self._backbone.trainable = False
            if not phase.frozen:
                self._backbone.trainable = True
                for layer in layers_of(self._backbone):
                    layer.trainable = layer in self._free
        elif phase.frozen:
            raise ParameterError(
                "`head_epochs` must be 0 if the network has no backbone that can be frozen. Received: "
                f"head_epochs={options.head_epochs} with {model.name}, "
                f"{'whose backbone is frozen already' if self._backbone is not None else 'which has none'}. "
                "Use an architecture with a trainable backbone, or head_epochs=0."
            )
        with self._devices.strategy.scope():
            rate: Any = phase.learning_rate
            if changes_rate:
                rate = make_schedule(rate, options, steps_per_epoch=self._batches.steps, epochs=phase.epochs)
            optimizer = self._devices.optimizer(self._config, rate)
            accuracy = keras.metrics.CategoricalAccuracy(name="accuracy")
            model.compile(
                optimizer=optimizer,
                loss=make_loss(options),
                metrics=[accuracy],
                jit_compile=self._devices.xla,
                steps_per_execution=options.steps_per_execution,
                auto_scale_loss=False,
            )
            optimizer.build(model.trainable_variables)
        self._train_metrics = [model.metrics[0], accuracy]  # the first is Keras' mean loss
        self._plateau = None
        if options.schedule == "reduce_on_plateau":
            self._plateau = Plateau(
                phase.learning_rate, options, higher_is_better=not lower_is_better(self._epochs.metric)
            )
        model.make_train_function(force=True)
        self._validation.prepare()
        self._averages.prepare()

    @property
    def _variables(self) -> dict[str, list[keras.Variable]]:
        return {
            "model": self._model.variables,
            "optimizer": self._model.optimizer.variables,
            "metrics": [variable for metric in self._train_metrics for variable in metric.variables],
        }

    def _restore(self, start: State, phase: Phase) -> None:
        if self._at.epoch == phase.first_epoch and self._at.step == 0:
            # The state may be from the end of the previous phase, which had another optimizer.
            put_back({"model": self._model.variables}, start.arrays)
            return
        put_back(self._variables, start.arrays)
        if self._plateau:
            self._plateau.restore(start.facts["plateau"])

    def _run_epoch(self, interruptions: InterruptionHandler) -> None:
        if self._at.step == 0:
            for metric in self._train_metrics:
                metric.reset_state()
        self._epochs.begin(self._at.epoch + 1, self._at.step)
        started = time.monotonic()
        self._train(interruptions)
        self._devices.agree(self._model)
        figures = {metric.name: float(metric.result()) for metric in self._train_metrics}
        figures["learning_rate"] = float(self._model.optimizer.learning_rate.numpy())
        trained = time.monotonic()
        curves = b""
        if self._batches.has_validation:
            with self._averages.applied(self._at.epoch):
                validation, curves = self._validation.run()
                self._epochs.consider(figures | validation, self._model)
            figures |= validation
        else:
            self._epochs.consider(figures, self._model)
        if self._plateau and (rate := self._plateau.update(figures[self._epochs.metric])):
            self._model.optimizer.learning_rate = rate
            logger.info("learning rate lowered to %g", rate)
        self._at = Position(self._at.epoch + 1)
        self._epochs.end(figures, trained - started, time.monotonic() - trained, curves)
        interruptions.epoch_ended(self)

    def _train(self, interruptions: InterruptionHandler) -> None:
        """Run the remaining steps of an epoch."""
        step, steps_per_call = self._model.train_function, self._config.options.steps_per_execution
        with self._batches.translate_errors():
            batches = self._devices.feed(self._batches.train(self._at.epoch, self._at.step))
            while self._at.step < self._batches.steps:
                logs = step(batches)
                self._at.step = min(self._at.step + steps_per_call, self._batches.steps)
                self._epochs.stepped(self._at.step, logs)
                interruptions.stepped(self)
