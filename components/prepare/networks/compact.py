"""A compact network of 0.29 million weights for small tiles, which trains from random weights, also on a CPU."""

import keras  # noqa: TID253 - this module is about Keras, and only functions import it

from tilepipe.components.shared.contracts.model_file import BACKBONE

_STAGES = (32, 64, 128)
_BATCH_NORM_MOMENTUM = 0.9


def compact(
    shape: tuple[int, int, int],
    *,
    width: float = 1.0,
    residual_blocks: int = 1,
    batch_norm_momentum: float | None = None,
) -> keras.Model:
    """Build the network up to the last feature map.

    Three stages, each a convolution that doubles the channels, pooling that halves the sides, and convolutions with a
    shortcut around each (as in https://myrtle.ai/how-to-train-your-resnet-4-architecture/). Plain convolutions of 3 x 3
    pixels are what CPUs compute fastest: separable ones have fewer operations and take longer.

    Args:
        shape: `(height, width, channels)` of the input, each at least 1.
        width: multiplier of the channels of the stages, which are 32, 64 and 128 for 1.
        residual_blocks: number of convolutions with a shortcut per stage.
        batch_norm_momentum: momentum of the running means and variances; None for 0.9.

    Returns:
        A model named `backbone`, from standardised values `(batch, height, width, channels)` to features
        `(batch, ceil(height / 8), ceil(width / 8), round(128 * width))`.
    """
    momentum = _BATCH_NORM_MOMENTUM if batch_norm_momentum is None else batch_norm_momentum
    values = inputs = keras.Input(shape, name="values")
    for number, channels in enumerate(_STAGES, start=1):
        filters = max(1, round(channels * width))
        # Pooling first leaves a quarter of the values to normalize; on a CPU, that takes as long as a convolution.
        values = _convolution(values, filters, f"stage{number}")
        pool = tuple(2 if side > 1 else 1 for side in values.shape[1:3])
        values = keras.layers.MaxPooling2D(pool, padding="same", name=f"stage{number}_pool")(values)
        values = _activation(values, momentum, f"stage{number}")
        for block in range(1, residual_blocks + 1):
            name = f"stage{number}_block{block}"
            branch = _activation(_convolution(values, filters, name), momentum, name)
            values = keras.layers.Add(name=f"{name}_add")([values, branch])
    return keras.Model(inputs, values, name=BACKBONE)


def _convolution(values: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    return keras.layers.Conv2D(
        filters, 3, padding="same", use_bias=False, kernel_initializer="he_normal", name=f"{name}_conv"
    )(values)


def _activation(values: keras.KerasTensor, momentum: float, name: str) -> keras.KerasTensor:
    values = keras.layers.BatchNormalization(momentum=momentum, name=f"{name}_norm")(values)
    return keras.layers.ReLU(name=f"{name}_relu")(values)
