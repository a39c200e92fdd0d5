"""The moving averages of a model's weights, and the statistics of batch normalization that belong to them."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras  # noqa: TID253 - only functions import this module
import numpy as np

from tilepipe.components.train.input.batches import Batches
from tilepipe.components.train.loop.devices import Devices
from tilepipe.components.train.loop.model_layers import layers_of
from tilepipe.components.train.optimization.optimizers import averaged_weights, has_averages, keep_averages

_BATCHES = 32
"""How many training batches tell the statistics: at 64 tiles a batch, 2,048 tiles and all of their pixels."""


class Averages:
    """Lends a model the moving averages of its weights, to be measured and kept.

    The running means and variances that training keeps belong to the weights as they were a moment ago, and averages
    make other activations. In the middle of fine-tuning EfficientNet-Lite0 on EuroSAT RGB (epoch 11 of 16), its own
    weights got 98.3 % of the validation tiles right, averages of 1,000 steps with the running statistics 93.5 %, and
    with statistics measured anew 98.7 %. So they are measured, on the epoch's last training batches
    (https://arxiv.org/abs/1803.05407, section 3.2).

    Args:
        model: the classifier.
        batches: training batches, changed by chance as in training.
        devices: what computes.
    """

    def __init__(self, model: keras.Model, batches: Batches, devices: Devices) -> None:
        self._model, self._batches, self._devices = model, batches, devices
        self._step: Any = None

    def prepare(self) -> None:
        """Build the step anew, for the model as it is compiled now."""
        model, batches = self._model, self._batches

        def forward(element: Any) -> None:  # noqa: ANN401 - what the batches give
            images = (batches.made(element) if batches.are_made_on_device else element)[0]
            model(images, training=True)

        self._step = self._devices.on_each(forward)

    @contextlib.contextmanager
    def lent(self, epoch: int) -> Iterator[None]:
        """Lend the model its averages and their statistics; then give its own back, bit for bit.

        Args:
            epoch: whose tiles tell the statistics, counted from 0.
        """
        if not has_averages(self._model):
            yield
            return
        # The seeds of dropout are among them: a measurement must not change what the next step throws.
        others = [(variable, variable.numpy()) for variable in self._model.non_trainable_variables]
        with averaged_weights(self._model):
            try:
                self._measure(epoch)
                yield
            finally:
                for variable, value in others:
                    variable.assign(value)

    def keep(self, epoch: int) -> None:
        """Give the model its averages for good, where there are any."""
        if has_averages(self._model):
            keep_averages(self._model)
            self._measure(epoch)

    def _measure(self, epoch: int) -> None:
        norms = [
            layer
            for layer in layers_of(self._model)
            if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
        ]
        if not norms:
            return
        statistics = [variable for layer in norms for variable in (layer.moving_mean, layer.moving_variance)]
        sums = [np.zeros(variable.shape, np.float64) for variable in statistics]
        momenta = [layer.momentum for layer in norms]
        first = max(0, self._batches.steps - _BATCHES)
        try:
            for layer in norms:
                layer.momentum = 0.0  # each batch leaves its own statistics; read when the step is traced
            with self._batches.explained():
                elements = self._devices.feed(self._batches.train(epoch, first))
                for _ in range(first, self._batches.steps):
                    self._step(elements)
                    for total, variable in zip(sums, statistics, strict=True):
                        np.add(total, variable.numpy(), out=total)
        finally:
            for layer, momentum in zip(norms, momenta, strict=True):
                layer.momentum = momentum
        for total, variable in zip(sums, statistics, strict=True):
            variable.assign((total / (self._batches.steps - first)).astype(np.float32))
        self._devices.agree(self._model)
