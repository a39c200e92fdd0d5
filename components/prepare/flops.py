"""What a model costs to run, from the shapes of its layers: the same for every backend, and without running it."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import keras  # noqa: TID253 - this module is about Keras, and only functions import it

_FLOAT_BYTES = 4


class Cost(NamedTuple):
    """What one tile costs in inference, and what the weights take."""

    multiply_adds: int
    """Of convolutions and dense layers; what is done to each value once (BatchNormalization, activations) is left out,
    as in published tables."""
    activation_bytes: int
    """The outputs of all layers as float32: what training keeps for each tile of a batch, at most."""
    weight_bytes: int
    """All weights as float32, running means and variances included."""

    @property
    def flops(self) -> int:
        """Floating-point operations: a multiplication and an addition each."""
        return 2 * self.multiply_adds


def cost(model: keras.Model) -> Cost:
    """Count what a model costs.

    Args:
        model: built, its layers' shapes known but for the batch; models within it are counted layer by layer.

    Returns:
        The cost for one tile.
    """
    layers = list(leaves(model))
    return Cost(
        multiply_adds=sum(multiply_adds(layer) for layer in layers),
        activation_bytes=sum(values(layer) for layer in layers) * _FLOAT_BYTES,
        weight_bytes=sum(math.prod(weight.shape) for weight in model.weights) * _FLOAT_BYTES,
    )


def leaves(model: keras.Model) -> Iterator[keras.Layer]:
    """Yield the layers of a model and of its nested models, in order, except input layers."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from leaves(layer)
        elif not isinstance(layer, keras.layers.InputLayer):
            yield layer


def multiply_adds(layer: keras.Layer) -> int:
    """Multiplications with an addition for one tile: each weight of a kernel once for every position of the output."""
    kernel = getattr(layer, "kernel", None)
    return 0 if kernel is None else math.prod(layer.output.shape[1:-1]) * math.prod(kernel.shape)


def values(layer: keras.Layer) -> int:
    """How many numbers a layer gives for one tile."""
    return math.prod(layer.output.shape[1:])
