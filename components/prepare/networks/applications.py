"""Networks of keras.applications as feature extractors, for any number of channels."""

import warnings

import keras  # noqa: TID253 - this module is about Keras, and only functions import it

from tilepipe.components.prepare.networks.networks import NETWORKS, Architecture
from tilepipe.components.shared.contracts.model_file import BACKBONE


def application(
    architecture: Architecture, shape: tuple[int, int, int], *, batch_norm_momentum: float | None = None
) -> keras.Model:
    """Build a network of keras.applications up to its last feature map, with random weights.

    Args:
        architecture: a network with a function in keras.applications.
        shape: `(height, width, channels)` of the input; height and width at least `shortest_side_pixels`.
        batch_norm_momentum: momentum of the running means and variances; None keeps the default of Keras, 0.99 or
            0.999.

    Returns:
        A model named `backbone`, from scaled values `(batch, height, width, channels)` to a feature map.
    """
    network = NETWORKS[architecture]
    if network.function is None:
        raise ValueError(f"{architecture} is not a network of keras.applications")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This model usually expects 1 or 3 input channels")
        built = getattr(keras.applications, network.function)(
            include_top=False, weights=None, input_shape=shape, **network.settings
        )
    if batch_norm_momentum is not None:
        for layer in built.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = batch_norm_momentum
    # The function's own `name` cannot be changed: EfficientNetV2 looks up its blocks by it.
    return keras.Model(built.input, built.output, name=BACKBONE)
