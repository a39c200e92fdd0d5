"""Operations and memory of a model, computed from the shapes of its layers."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import keras  # noqa: TID253 - this module is about Keras, and only functions import it

_FLOAT_BYTES = 4


class Cost(NamedTuple):
    """Cost of inference for one tile, and memory of the weights."""

    multiply_adds: int
    """Multiply-adds of convolutions and dense layers; element-wise operations (BatchNormalization, activations) are not
    counted, as in published tables."""
    activation_bytes: int
    """Size of the outputs of all layers as float32, the most that training keeps per tile of a batch."""
    weight_bytes: int
    """Size of all weights as float32, including running means and variances."""

    @property
    def flops(self) -> int:
        """Floating-point operations; a multiply-add counts as two."""
        return 2 * self.multiply_adds


def cost(model: keras.Model) -> Cost:
    """Compute the cost of a built model for one tile; only the batch size may be unknown.

    Nested models are counted layer by layer.
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
    """Count multiply-adds for one tile: each weight of a kernel once per position of the output."""
    kernel = getattr(layer, "kernel", None)
    return 0 if kernel is None else math.prod(layer.output.shape[1:-1]) * math.prod(kernel.shape)


def values(layer: keras.Layer) -> int:
    """Count the output values of a layer for one tile."""
    return math.prod(layer.output.shape[1:])
