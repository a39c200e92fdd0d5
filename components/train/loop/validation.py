"""Validation of the model after each epoch."""

from collections.abc import Sequence
from typing import Any

import keras  # noqa: TID253 - only functions import this module
import numpy as np

from tilepipe.components.train.figures.counts import ClassCounts, ScoreCounts
from tilepipe.components.train.figures.epoch_figures import curves_file, epoch_figures
from tilepipe.components.train.input.batches import Batches
from tilepipe.components.train.loop.devices import Devices
from tilepipe.components.train.optimization.losses import LossOptions, make_loss


class Validation:
    """Evaluation on the whole validation split, without averaging over batches.

    Args:
        model: the classifier.
        batches: the validation batches.
        options: the loss.
        class_names: the names of the classes.
        devices: the devices to compute on.
    """

    def __init__(
        self, model: keras.Model, batches: Batches, options: LossOptions, class_names: Sequence[str], devices: Devices
    ) -> None:
        self._model, self._batches, self._devices = model, batches, devices
        self._options, self._class_names = options, class_names
        self._step: Any = None

    def prepare(self) -> None:
        """Build the step for the model as currently compiled; call it after each `compile`."""
        model, batches, loss_of = self._model, self._batches, make_loss(self._options)
        # Per tile, since a device's share of the last batch may be smaller than that of the others, or empty.
        loss_of.reduction = "none"
        with self._devices.strategy.scope():
            self._loss = keras.metrics.Mean(name="loss")
            self._counts = ClassCounts(len(self._class_names))
            self._scores = ScoreCounts(len(self._class_names))

        def measure(element: Any) -> None:  # noqa: ANN401 - an element of the batches
            images, labels = batches.to_validation_batch(element) if batches.builds_validation_on_device else element
            predictions = model(images, training=False)
            self._loss.update_state(loss_of(labels, predictions) + sum(model.losses))  # regularization losses
            self._counts.update_state(labels, predictions)
            self._scores.update_state(labels, predictions)

        self._step = self._devices.on_each(measure)

    def run(self) -> tuple[dict[str, float], bytes]:
        """Validate; return the figures by name, and the content of the curves file."""
        for metric in (self._loss, self._counts, self._scores):
            metric.reset_state()
        with self._batches.translate_errors():
            elements = self._devices.feed(self._batches.validation())
            for _ in range(self._batches.validation_steps):
                self._step(elements)
        counts = np.asarray(self._counts.counts)
        figures = {"val_loss": float(self._loss.result()), **epoch_figures(counts, self._class_names)}
        return figures, curves_file(self._class_names, counts, np.asarray(self._scores.counts))
