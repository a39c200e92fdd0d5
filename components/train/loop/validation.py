"""Measuring a model on the validation tiles, after each epoch."""

from typing import Any

import keras  # noqa: TID253 - only functions import this module
import numpy as np

from tilepipe.components.shared.contracts.manifest import Manifest
from tilepipe.components.train.config import TrainConfig
from tilepipe.components.train.figures.counts import ClassCounts, ScoreCounts
from tilepipe.components.train.figures.figures import curves_file, epoch_figures
from tilepipe.components.train.input.batches import Batches
from tilepipe.components.train.loop.devices import Devices
from tilepipe.components.train.optimization.losses import make_loss


class Validation:
    """Measures the model on a whole split: sums over all tiles, no averages over batches."""

    def __init__(self, model: keras.Model, config: TrainConfig, manifest: Manifest, devices: Devices) -> None:
        self._model, self._config, self._devices = model, config, devices
        self._class_names = manifest.class_names
        self._step: Any = None

    def prepare(self, batches: Batches) -> None:
        """Build the step anew, for the model as it is compiled now."""
        model, loss_of = self._model, make_loss(self._config.options)
        with self._devices.strategy.scope():
            # Of each tile: a device's share of the last batch may be smaller than the others', or nothing.
            loss_of.reduction = "none"
            self._loss = keras.metrics.Mean(name="loss")
            self._counts = ClassCounts(len(self._class_names))
            self._scores = ScoreCounts(len(self._class_names))
        loss, counts, scores = self._metrics

        def measure(element: Any) -> None:  # noqa: ANN401 - what the batches give
            images, labels = batches.made_for_validation(element) if batches.validation_is_made_on_device else element
            given = model(images, training=False)
            loss.update_state(loss_of(labels, given) + sum(model.losses))  # these are the weights' penalties
            counts.update_state(labels, given)
            scores.update_state(labels, given)

        self._step = self._devices.on_each(measure)

    @property
    def _metrics(self) -> tuple[keras.Metric, keras.Metric, keras.Metric]:
        return self._loss, self._counts, self._scores

    def run(self, batches: Batches) -> tuple[dict[str, float], bytes]:
        """Measure; gives the figures by name, and the file of the curves."""
        for metric in self._metrics:
            metric.reset_state()
        with batches.explained():
            elements = self._devices.feed(batches.validation())
            for _ in range(batches.validation_steps):
                self._step(elements)
        counts = np.asarray(self._counts.counts)
        figures = {"val_loss": float(self._loss.result()), **epoch_figures(counts, self._class_names)}
        return figures, curves_file(self._class_names, counts, np.asarray(self._scores.counts))
