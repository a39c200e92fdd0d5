"""Networks of keras.applications as feature extractors, for any number of channels."""

import warnings
from typing import Any, NamedTuple

import keras  # noqa: TID253 - this module is about Keras, and only functions import it

from tilepipe.components.prepare.config import Architecture


class _Network(NamedTuple):
    function: str
    settings: dict[str, Any]


_OWN_SCALING = {"include_preprocessing": False}  # tiles are scaled before, by their own statistics
NETWORKS: dict[Architecture, _Network] = {
    "mobilenet_v2": _Network("MobileNetV2", {}),
    "mobilenet_v3_small": _Network("MobileNetV3Small", _OWN_SCALING),
    "mobilenet_v3_large": _Network("MobileNetV3Large", _OWN_SCALING),
    "resnet50": _Network("ResNet50", {}),
    "efficientnet_v2_b1": _Network("EfficientNetV2B1", _OWN_SCALING),
    "efficientnet_v2_s": _Network("EfficientNetV2S", _OWN_SCALING),
    "inception_v3": _Network("InceptionV3", {}),
}
"""https://keras.io/api/applications/"""


def application(
    architecture: Architecture, shape: tuple[int, int, int], *, batch_norm_momentum: float | None = None
) -> keras.Model:
    """Build a network of keras.applications up to its last feature map, with random weights.

    Args:
        architecture: one of those that keras.applications has.
        shape: `(height, width, channels)` of the input; height and width no less than `config.SHORTEST_SIDE_PIXELS`.
        batch_norm_momentum: how slowly the running means and variances follow the batches; None leaves them as Keras
            has them, 0.99 or 0.999.

    Returns:
        A model named `backbone`, from scaled values `(batch, height, width, channels)` to a feature map.
    """
    network = NETWORKS[architecture]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This model usually expects 1 or 3 input channels")
        built = getattr(keras.applications, network.function)(
            include_top=False, weights=None, input_shape=shape, **network.settings
        )
    if batch_norm_momentum is not None:
        for layer in built.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = batch_norm_momentum
    # Their own `name` is no free choice: EfficientNetV2 looks its blocks up by it.
    return keras.Model(built.input, built.output, name="backbone")
