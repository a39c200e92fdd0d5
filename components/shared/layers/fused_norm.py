"""Batch normalization with TensorFlow's fused kernel.

Keras composes it of a dozen operations, each a pass over all activations. On two CPU cores, the fused kernel made a
training step of EfficientNet-Lite0 at 96 pixels 1.4 times as fast, and its predictions 1.2 times: in inference,
TensorFlow merges it with the convolution before it. It leaves no trace in the saved model.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras  # noqa: TID253 - about Keras' layers; only functions import this module
import tensorflow as tf  # noqa: TID253

from tilepipe.components.shared.layers.model_layers import layers_of


@contextlib.contextmanager
def fused_normalization(model: keras.Model) -> Iterator[None]:
    """Use the fused kernel for batch normalization in functions traced within the context.

    Values are normalized as by Keras, but for rounding. In training, the running variance follows the unbiased variance
    of the batch, n / (n - 1) times that of Keras: at 1,024 values per channel, a thousandth more.

    Args:
        model: any model; layers that the kernel does not support (another axis than the last of four, no scale, no
            offset, synchronized over devices) are unchanged.
    """
    fused = [layer for layer in layers_of(model) if _can_be_fused(layer)]
    for layer in fused:
        layer.call = _fused_call(layer)
    try:
        yield
    finally:
        for layer in fused:
            del layer.call


def _can_be_fused(layer: keras.Layer) -> bool:
    return (
        isinstance(layer, keras.layers.BatchNormalization)
        and len(layer.input.shape) == 4
        and layer.axis in (-1, 3)
        and layer.scale
        and layer.center
        and not layer.synchronized
        and layer.renorm is False
    )


def _fused_call(layer: keras.layers.BatchNormalization) -> Any:  # noqa: ANN401 - Keras has no types
    by_keras = layer.call

    def call(inputs: tf.Tensor, training: bool | None = None, mask: tf.Tensor | None = None) -> tf.Tensor:
        if mask is not None:
            return by_keras(inputs, training=training, mask=mask)
        learns = bool(training) and layer.trainable
        running = (layer.moving_mean, layer.moving_variance)
        given = {} if learns else dict(zip(("mean", "variance"), running, strict=True))
        outputs, *found = tf.compat.v1.nn.fused_batch_norm(
            inputs, layer.gamma, layer.beta, **given, epsilon=layer.epsilon, is_training=learns
        )
        if learns:
            for kept, now in zip(running, found, strict=True):
                kept.assign(kept * layer.momentum + now * (1 - layer.momentum))
        return outputs

    return call
