"""From a feature map to probabilities, and the penalty on kernels."""

from collections.abc import Sequence

import keras  # noqa: TID253 - this module is about Keras, and only functions import it

from tilepipe.components.prepare.config import ModelOptions, Regularizer
from tilepipe.components.prepare.flops import leaves


def head(features: keras.KerasTensor, options: ModelOptions, units: Sequence[int]) -> keras.KerasTensor:
    """Pool a feature map and add the dense layers before the classification layer.

    Args:
        features: `(batch, height, width, channels)`.
        options: pooling and dropout.
        units: of each dense layer, none to two.

    Returns:
        `(batch, units)`, what the class layer takes.
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
    """Add the classification layer.

    Args:
        values: `(batch, units)`.
        classes: number of classes.

    Returns:
        float32, `(batch, classes)`, adding up to 1.
    """
    # float32 whatever the layers before compute in: a softmax in half precision does not add up to 1.
    return keras.layers.Dense(classes, activation="softmax", dtype="float32", name="probabilities")(values)


def regularize(model: keras.Model, regularizer: Regularizer, rate: float) -> None:
    """Put a penalty on the kernels of all convolutions and dense layers, those of models within it too.

    Biases and BatchNormalization's weights have none: they are few, and shrinking them only moves outputs.

    Args:
        model: built. Its weights stay as they are.
        regularizer: which penalty.
        rate: its factor.
    """
    if regularizer == "none":
        return
    l1, l2 = (rate if part in regularizer else 0.0 for part in ("l1", "l2"))
    penalty = keras.regularizers.L1L2(l1, l2)
    for layer in leaves(model):
        kernel = getattr(layer, "kernel", None)
        if kernel is None:
            continue
        # The variable's is what counts from now on, the layer's what is saved and makes the variable's when loading.
        kernel.regularizer = penalty
        depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        setattr(layer, "depthwise_regularizer" if depthwise else "kernel_regularizer", penalty)
