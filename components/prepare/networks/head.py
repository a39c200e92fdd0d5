"""Classification head, and regularization of kernels."""

from collections.abc import Sequence

import keras  # noqa: TID253 - this module is about Keras, and only functions import it

from tilepipe.components.prepare.config import ModelOptions, Regularizer
from tilepipe.components.prepare.flops import leaves


def head(features: keras.KerasTensor, options: ModelOptions, units: Sequence[int]) -> keras.KerasTensor:
    """Pool a feature map and add the dense layers before the classification layer.

    Args:
        features: `(batch, height, width, channels)`.
        options: pooling and dropout.
        units: units of each dense layer, up to two.

    Returns:
        `(batch, units)`, the input of the classification layer.
    """
    pool = keras.layers.GlobalMaxPooling2D if options.pooling == "max" else keras.layers.GlobalAveragePooling2D
    values = pool(name=options.pooling)(features)
    for number, width in enumerate(units, start=1):
        suffix = number if len(units) > 1 else ""
        values = keras.layers.Dense(width, activation="relu", name=f"dense{suffix}")(values)
        if number < len(units):
            values = keras.layers.Dropout(options.dropout, name=f"dropout{number}")(values)
    return keras.layers.Dropout(options.dropout, name="dropout")(values)


def probabilities(values: keras.KerasTensor, classes: int) -> keras.KerasTensor:
    """Add the classification layer to `(batch, units)`; it gives probabilities, float32, `(batch, classes)`."""
    # Always float32: probabilities in half precision do not add up to 1.
    return keras.layers.Dense(classes, activation="softmax", dtype="float32", name="probabilities")(values)


def regularize(model: keras.Model, regularizer: Regularizer, rate: float) -> None:
    """Add a penalty on the kernels of all convolutions and dense layers, including those of nested models.

    The weights of a built model do not change. Biases and the weights of BatchNormalization are not penalized.
    """
    if regularizer == "none":
        return
    l1, l2 = (rate if part in regularizer else 0.0 for part in ("l1", "l2"))
    penalty = keras.regularizers.L1L2(l1, l2)
    for layer in leaves(model):
        kernel = getattr(layer, "kernel", None)
        if kernel is None:
            continue
        # The variable's regularizer applies now; the layer's is saved, and applies after loading.
        kernel.regularizer = penalty
        depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        setattr(layer, "depthwise_regularizer" if depthwise else "kernel_regularizer", penalty)
