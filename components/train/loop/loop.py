"""The training loop: Keras' own steps, called so that a training can be stopped and taken up again at any of them."""

import logging
import time
from dataclasses import dataclass
from typing import Any

import keras  # noqa: TID253 - only functions import this module

from tilepipe.components.shared.contracts.history import History, lower_is_better
from tilepipe.components.shared.contracts.manifest import Manifest
from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.train.checkpoints.file import State
from tilepipe.components.train.checkpoints.variables import put_back, values_of
from tilepipe.components.train.config import TrainConfig
from tilepipe.components.train.input.batches import Batches
from tilepipe.components.train.loop.devices import Devices
from tilepipe.components.train.loop.ema import Averages
from tilepipe.components.train.loop.epochs import Epochs
from tilepipe.components.train.loop.interruptions import Watch
from tilepipe.components.train.loop.model_layers import backbone_of, layers_of
from tilepipe.components.train.loop.validation import Validation
from tilepipe.components.train.optimization.learning_rate_finder import RateCurve, find_rate
from tilepipe.components.train.optimization.losses import make_loss
from tilepipe.components.train.optimization.optimizers import make_optimizer
from tilepipe.components.train.optimization.schedules import Phase, Plateau, make_schedule, phases

logger = logging.getLogger("tilepipe.train")


@dataclass
class Position:
    """How far a training is."""

    epoch: int = 0
    """Epochs that have ended."""
    step: int = 0
    """Steps of the next epoch that are done."""


class Loop:
    """One training, from its start or from a checkpoint.

    All that changes is in variables of Keras or in what `state` gives as JSON; the order and the changes of the tiles
    follow from seed, epoch and step. So a loop that is given another's state does to the bit what that one would have
    done next (on a CPU, or with deterministic kernels).

    Args:
        model: the classifier; left with the weights of its best epoch.
        config: the parameters.
        manifest: what the tiles are.
        batches: the tiles on their way in.
        devices: what computes.
        epochs: takes the figures, and says which epoch is the best and when it is enough.
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
        self._model, self._config, self._manifest = model, config, manifest
        self._batches, self._devices, self._epochs = batches, devices, epochs
        self._backbone = backbone_of(model)
        # Of each layer, since a backbone may be free in its last blocks alone; Keras forgets that when all are frozen.
        self._free = [layer for layer in layers_of(self._backbone) if layer.trainable] if self._backbone else []
        self._can_be_frozen = self._backbone is not None and bool(self._backbone.trainable_variables)
        self._at = Position()
        self._plateau: Plateau | None = None
        self._train_metrics: list[keras.Metric] = []
        self._averages = Averages(model, batches, devices)
        self._validation = Validation(model, config, manifest, devices)

    @property
    def state(self) -> State:
        """All that a loop like this one needs to go on from here."""
        arrays = values_of(self._variables)
        facts = {
            "epoch": self._at.epoch,
            "step": self._at.step,
            "plateau": self._plateau.state() if self._plateau else None,
            "epochs": self._epochs.state(),
        }
        return State(arrays, self._epochs.best_weights, facts)

    def run(self, watch: Watch, learning_rate: float, start: State | None = None) -> History:
        """Train to the last epoch, or until it is enough; the model is left with the weights of its best epoch.

        Args:
            watch: is asked between steps whether to stop, and told when a checkpoint may be taken.
            learning_rate: where the schedule starts from.
            start: what another loop of the same parameters and tiles gave.

        Returns:
            The figures of each epoch.

        Raises:
            ParameterError: the loss left the numbers.
            ArtifactError: the state is of another model, or a shard is damaged.
            Stopped: the process was told to stop; the last checkpoint holds the state.
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
                watch.begun(self)
            while self._at.epoch < phase.first_epoch + phase.epochs and not self._epochs.is_enough:
                self._run_epoch(watch)
        if self._batches.has_validation:
            self._epochs.give_best(self._model)
        else:
            self._averages.keep(max(self._at.epoch - 1, 0))
        history = self._epochs.history
        logger.info("best epoch: %d of %d, by %s", history.best_epoch, len(history.epochs), history.metric)
        return history

    def find_rate(self, learning_rate: float) -> RateCurve:
        """Try rising learning rates on the first tiles, and leave the model as it was."""
        options = self._config.options
        before = values_of({"model": self._model.variables})
        self._begin(phases(self._config.epochs, learning_rate, options)[0], changes_rate=False)
        with self._batches.explained():
            batches = self._devices.feed(self._batches.train(0, 0).repeat())

            def step(rate: float) -> float:
                self._model.optimizer.learning_rate = rate
                loss = self._train_metrics[0]
                loss.reset_state()
                self._model.train_function(batches)
                return float(loss.result())

            curve = find_rate(step, steps=options.finder_steps)
        put_back({"model": self._model.variables}, before)
        return curve

    def _begin(self, phase: Phase, *, changes_rate: bool = True) -> None:
        """Compile the model anew: what is trained, and so the optimizer's variables, changes from phase to phase."""
        options, model = self._config.options, self._model
        if self._backbone is not None and self._can_be_frozen:
            self._backbone.trainable = False
            if not phase.frozen:
                self._backbone.trainable = True
                for layer in layers_of(self._backbone):
                    layer.trainable = layer in self._free
        elif phase.frozen:
            raise ParameterError(
                "`head_epochs` must be 0 where no backbone can be frozen for them. Received: "
                f"head_epochs={options.head_epochs} with {model.name}, "
                f"{'whose backbone is frozen already' if self._backbone is not None else 'which has none'}. "
                "Use an architecture with a backbone that is free, or head_epochs=0."
            )
        with self._devices.strategy.scope():
            rate: Any = phase.learning_rate
            if changes_rate:
                rate = make_schedule(rate, options, steps_per_epoch=self._batches.steps, epochs=phase.epochs)
            optimizer = self._devices.scaled(
                make_optimizer(
                    self._config.optimizer, rate, options, replicas=self._devices.strategy.num_replicas_in_sync
                )
            )
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
        self._train_metrics = [model.metrics[0], accuracy]  # the first is Keras' mean of the losses
        self._plateau = None
        if options.schedule == "reduce_on_plateau":
            self._plateau = Plateau(
                phase.learning_rate, options, higher_is_better=not lower_is_better(self._epochs.metric)
            )
        if self._batches.are_made_on_device:
            by_keras = type(model).train_step
            model.train_step = lambda data: by_keras(model, self._batches.made(data))
        model.make_train_function(force=True)
        self._validation.prepare(self._batches)
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
            # The state may be of the end of the phase before, whose optimizer was another; here it is a new one.
            put_back({"model": self._model.variables}, start.arrays)
            return
        put_back(self._variables, start.arrays)
        if self._plateau:
            self._plateau.restore(start.facts["plateau"])

    def _run_epoch(self, watch: Watch) -> None:
        if self._at.step == 0:
            for metric in self._train_metrics:
                metric.reset_state()
        self._epochs.begin(self._at.epoch + 1, self._at.step)
        started = time.monotonic()
        self._train(watch)
        self._devices.agree(self._model)
        figures = {metric.name: float(metric.result()) for metric in self._train_metrics}
        figures["learning_rate"] = float(self._model.optimizer.learning_rate.numpy())
        trained = time.monotonic()
        curves = b""
        if self._batches.has_validation:
            with self._averages.lent(self._at.epoch):
                validation, curves = self._validation.run(self._batches)
                self._epochs.consider(figures | validation, self._model)
            figures |= validation
        else:
            self._epochs.consider(figures, self._model)
        if self._plateau and (rate := self._plateau.see(figures[self._epochs.metric])):
            self._model.optimizer.learning_rate = rate
            logger.info("learning rate lowered to %g", rate)
        self._at = Position(self._at.epoch + 1)
        self._epochs.end(figures, trained - started, time.monotonic() - trained, curves)
        watch.epoch_ended(self)

    def _train(self, watch: Watch) -> None:
        """The steps of an epoch that are left."""
        step, an_execution = self._model.train_function, self._config.options.steps_per_execution
        with self._batches.explained():
            batches = self._devices.feed(self._batches.train(self._at.epoch, self._at.step))
            while self._at.step < self._batches.steps:
                logs = step(batches)
                self._at.step = min(self._at.step + an_execution, self._batches.steps)
                self._epochs.stepped(self._at.step, logs)
                watch.stepped(self)
