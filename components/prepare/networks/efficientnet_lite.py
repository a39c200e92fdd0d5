"""Feature extractor of EfficientNet-Lite0, built of Keras layers.

Lite is EfficientNet without squeeze-and-excitation, and with ReLU6 in place of swish, so it quantizes well and is fast
on CPUs (https://blog.tensorflow.org/2020/03/higher-accuracy-on-vision-models-with-efficientnet-lite.html).
Layers are named as in the weights file that `weights` reads.
"""

from typing import NamedTuple

import keras  # noqa: TID253 - this module is about Keras, and only functions import it

from tilepipe.components.shared.contracts.model_file import BACKBONE

_BATCH_NORM_MOMENTUM, _BATCH_NORM_EPSILON = 0.99, 1e-3
_STEM_FILTERS = 32
_HEAD_FILTERS = 1280


class _Stage(NamedTuple):
    """Inverted residual blocks of one size; only the first of them has the stride."""

    repeats: int
    kernel_size: int
    stride: int
    expansion: int
    filters: int


# EfficientNet-B0's (https://arxiv.org/abs/1905.11946, table 1); Lite0 leaves width and depth as they are.
_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)
BLOCKS = sum(stage.repeats for stage in _STAGES)
"""Inverted residual blocks, `block0` to `block15`."""


def efficientnet_lite0(
    shape: tuple[int, int, int],
    *,
    drop_connect: float = 0.0,
    stem_stride: int = 2,
    batch_norm_momentum: float | None = None,
) -> keras.Model:
    """Build the network up to the last feature map, before pooling and classes.

    Args:
        shape: `(height, width, channels)` of the input, each at least 1.
        drop_connect: probability that the last block with a shortcut is skipped for a tile in training; lower in
            earlier blocks, as in the original, which uses 0.2.
        stem_stride: 2 as in the original, or 1 for small tiles, with four times the pixels and work in every layer.
        batch_norm_momentum: momentum of the running means and variances; None for 0.99.

    Returns:
        A model named `backbone`, from float values `(batch, height, width, channels)`, for ImageNet's weights
        (RGB - 127) / 128, to features `(batch, ceil(height / 32), ceil(width / 32), 1280)`, 0 to 6; with `stem_stride`
        1, `ceil(height / 16)` and `ceil(width / 16)`.
    """
    momentum = _BATCH_NORM_MOMENTUM if batch_norm_momentum is None else batch_norm_momentum
    values = inputs = keras.Input(shape, name="values")
    values = _conv(values, _STEM_FILTERS, 3, stem_stride, "stem")
    values = _normalize(values, "stem", momentum, activation=True)
    number = 0
    for stage in _STAGES:
        for repeat in range(stage.repeats):
            stride = stage.stride if repeat == 0 else 1
            # The drop rate grows with depth: https://arxiv.org/abs/1603.09382, section 3.
            dropped = drop_connect * number / BLOCKS
            values = _block(values, f"block{number}", stage, stride, dropped, momentum)
            number += 1
    values = _conv(values, _HEAD_FILTERS, 1, 1, "head")
    values = _normalize(values, "head", momentum, activation=True)
    return keras.Model(inputs, values, name=BACKBONE)


def _block(
    inputs: keras.KerasTensor, name: str, stage: _Stage, stride: int, dropped: float, momentum: float
) -> keras.KerasTensor:
    """Add an inverted residual block, with a shortcut if the shape is unchanged."""
    values = inputs
    if stage.expansion > 1:
        values = _conv(values, inputs.shape[-1] * stage.expansion, 1, 1, f"{name}_expand")
        values = _normalize(values, f"{name}_expand", momentum, activation=True)
    values = keras.layers.DepthwiseConv2D(
        stage.kernel_size,
        stride,
        padding="same",
        use_bias=False,
        depthwise_initializer=_initializer(),
        name=f"{name}_depthwise_conv",
    )(values)
    values = _normalize(values, f"{name}_depthwise", momentum, activation=True)
    values = _conv(values, stage.filters, 1, 1, f"{name}_project")
    values = _normalize(values, f"{name}_project", momentum, activation=False)
    if stride != 1 or inputs.shape[-1] != stage.filters:
        return values
    if dropped > 0:  # stochastic depth: the branch is dropped per tile, else scaled up
        values = keras.layers.Dropout(dropped, noise_shape=(None, 1, 1, 1), name=f"{name}_drop")(values)
    return keras.layers.Add(name=f"{name}_add")([inputs, values])


def _conv(values: keras.KerasTensor, filters: int, size: int, stride: int, name: str) -> keras.KerasTensor:
    return keras.layers.Conv2D(
        filters, size, stride, padding="same", use_bias=False, kernel_initializer=_initializer(), name=f"{name}_conv"
    )(values)


def _normalize(values: keras.KerasTensor, name: str, momentum: float, *, activation: bool) -> keras.KerasTensor:
    values = keras.layers.BatchNormalization(momentum=momentum, epsilon=_BATCH_NORM_EPSILON, name=f"{name}_bn")(values)
    return keras.layers.ReLU(max_value=6.0, name=f"{name}_relu6")(values) if activation else values


def _initializer() -> keras.Initializer:
    """Create the initializer by fan-out of the original.

    https://github.com/tensorflow/tpu, efficientnet_model.py, conv_kernel_initializer.
    """
    return keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")
