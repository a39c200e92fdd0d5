"""Batch normalization with TensorFlow's fused kernel during training.

Keras composes it of a dozen operations, each a pass over all activations. The fused kernel made a training step of
EfficientNet-Lite0 at 96 pixels 1.4 times as fast on two CPU cores. It leaves no trace in the saved model.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras  # noqa: TID253 - about Keras' layers; only functions import this module
import tensorflow as tf  # noqa: TID253

from tilepipe.components.train.loop.model_layers import layers_of


@contextlib.contextmanager
def fused_normalization(model: keras.Model) -> Iterator[None]:
    """Use the fused kernel for batch normalization in training steps traced within the context.

    The batch is normalized as by Keras. The running variance follows the unbiased variance of the batch, n / (n - 1)
    times that of Keras: at 1,024 values per channel, a thousandth more. Inference is unchanged.

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
        if not training or not layer.trainable or mask is not None:
            return by_keras(inputs, training=training, mask=mask)
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs, layer.gamma, layer.beta, epsilon=layer.epsilon, is_training=True
        )
        for running, now in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
            running.assign(running * layer.momentum + now * (1 - layer.momentum))
        return outputs

    return call
