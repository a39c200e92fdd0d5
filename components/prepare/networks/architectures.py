"""The networks that `prepare` can build: Keras 3 on any backend."""

from collections.abc import Sequence

import keras  # noqa: TID253 - this module is about Keras, and only functions import it

from tilepipe.components.prepare.config import ModelOptions
from tilepipe.components.prepare.networks.applications import application
from tilepipe.components.prepare.networks.compact import compact
from tilepipe.components.prepare.networks.efficientnet_lite import efficientnet_lite0
from tilepipe.components.prepare.networks.head import head, probabilities, regularize
from tilepipe.components.prepare.networks.networks import NETWORKS, Architecture
from tilepipe.components.prepare.networks.preprocessing import preprocess, resized
from tilepipe.components.prepare.networks.seen_bands import with_seen_bands
from tilepipe.components.shared.contracts.manifest import Manifest

_CNN_BATCH_NORM_MOMENTUM = 0.5


def build_backbone(architecture: Architecture, manifest: Manifest, options: ModelOptions) -> keras.Model:
    """Build a network's feature extractor, of any but cnn, for the manifest's tiles.

    Returns:
        A model named `backbone`, from scaled bands and indices `(batch, height, width, bands + indices)`, in the size
        that the network works in, to a feature map.
    """
    height, width = resized(manifest.height, manifest.width, _shorter_side(architecture, manifest, options))
    shape = (height, width, len(with_seen_bands(manifest, options.bands).bands) + len(options.indices))
    momentum = options.batch_norm_momentum
    if architecture == "compact":
        return compact(
            shape, width=options.width, residual_blocks=options.residual_blocks, batch_norm_momentum=momentum
        )
    if architecture == "efficientnet_lite0":
        return efficientnet_lite0(
            shape, drop_connect=options.drop_connect, stem_stride=options.stem_stride, batch_norm_momentum=momentum
        )
    return application(architecture, shape, batch_norm_momentum=momentum)


def build_model(
    architecture: Architecture,
    manifest: Manifest,
    options: ModelOptions,
    *,
    backbone: keras.Model | None = None,
    scaling: tuple[Sequence[float], Sequence[float]] | None = None,
) -> keras.Model:
    """Build and compile a classifier for the manifest's tiles.

    Args:
        architecture: the network.
        manifest: shape, statistics and classes of the tiles.
        options: the network's settings.
        backbone: result of `build_backbone`, with pretrained weights. Defaults to None, random weights.
        scaling: means and variances of the bands that those weights expect. Defaults to None: those of the options.

    Returns:
        A compiled model from raw digital numbers, any dtype, `(batch, height, width, bands)`, to probabilities of the
        manifest's classes, float32, `(batch, classes)`.
    """
    tiles = keras.Input(manifest.tile_shape, name="tiles")
    shorter_side = _shorter_side(architecture, manifest, options)
    values = preprocess(tiles, manifest, options, shorter_side=shorter_side, scaling=scaling)
    if architecture == "cnn":
        features, units = _cnn(values, options), options.head_units or (options.dense_units,)
    else:
        features, units = (backbone or build_backbone(architecture, manifest, options))(values), options.head_units
    classes = probabilities(head(features, options, units), len(manifest.class_names))
    model = keras.Model(tiles, classes, name=architecture)
    regularize(model, options.regularizer, options.regularizer_rate)
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    model.optimizer.build(model.trainable_variables)  # Keras warns when it loads a model whose optimizer was not
    return model


def _shorter_side(architecture: Architecture, manifest: Manifest, options: ModelOptions) -> int:
    """Return the shorter side of the input of the network, in pixels."""
    shortest = NETWORKS[architecture].shortest_side_pixels
    return options.input_size_pixels or max(min(manifest.height, manifest.width), shortest)


def _cnn(values: keras.KerasTensor, options: ModelOptions) -> keras.KerasTensor:
    """Build blocks of convolution, each of which halves the sides while there are pixels left."""
    momentum = _CNN_BATCH_NORM_MOMENTUM if options.batch_norm_momentum is None else options.batch_norm_momentum
    sides: tuple[int, ...] = values.shape[1:3]
    for number, filters in enumerate(options.filters, start=1):
        name = f"block{number}"
        values = keras.layers.Conv2D(
            filters, options.kernel_size, padding="same", activation="relu", name=f"{name}_conv"
        )(values)
        values = keras.layers.BatchNormalization(momentum=momentum, name=f"{name}_norm")(values)
        pool = tuple(2 if side > 1 else 1 for side in sides)  # a small tile is down to one pixel before the last block
        values = keras.layers.MaxPooling2D(pool, padding="same", name=f"{name}_pool")(values)
        # Less in early blocks: dropout changes the variance that the BatchNormalization of the next block gets used to
        # in training, and does not at inference (https://arxiv.org/abs/1801.05134).
        dropped = options.block_dropout * number / len(options.filters)
        values = keras.layers.Dropout(dropped, name=f"{name}_dropout")(values)
        sides = tuple(-(-side // step) for side, step in zip(sides, pool, strict=True))
    return values
