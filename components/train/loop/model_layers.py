"""The layers of a model, those of models within it included."""

from collections.abc import Iterator

import keras  # noqa: TID253 - about Keras' layers; only functions import this module

from tilepipe.components.shared.contracts.model_file import BACKBONE


def layers_of(model: keras.Model) -> Iterator[keras.Layer]:
    """All layers that are no models themselves, in order."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from layers_of(layer)
        else:
            yield layer


def backbone_of(model: keras.Model) -> keras.Model | None:
    """The part of a classifier before its head; None where the model is of one piece."""
    return next((layer for layer in model.layers if layer.name == BACKBONE), None)
