"""Layers of a model, including those of nested models."""

from collections.abc import Iterator

import keras  # noqa: TID253 - about Keras' layers; only functions import this module

from tilepipe.components.shared.contracts.model_file import BACKBONE


def layers_of(model: keras.Model) -> Iterator[keras.Layer]:
    """Yield all layers in order, with nested models expanded."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from layers_of(layer)
        else:
            yield layer


def trainable_norms(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """List the batch normalizations whose weights are trained, and whose statistics so change."""
    norms = (layer for layer in layers_of(model) if isinstance(layer, keras.layers.BatchNormalization))
    return [layer for layer in norms if layer.trainable]


def backbone_of(model: keras.Model) -> keras.Model | None:
    """Return the part of a classifier before its head; None if it has no nested backbone."""
    return next((layer for layer in model.layers if layer.name == BACKBONE), None)
