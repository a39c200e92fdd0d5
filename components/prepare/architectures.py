"""The networks that `prepare` can build: Keras 3 on any backend."""

from collections.abc import Callable

import keras  # noqa: TID253 - this module is about Keras, and only functions import it

from tilepipe.components.prepare.config import Architecture, ModelOptions
from tilepipe.components.shared.manifest import Manifest

Builder = Callable[[keras.KerasTensor, Manifest, ModelOptions], keras.KerasTensor]


def build_model(architecture: Architecture, manifest: Manifest, options: ModelOptions) -> keras.Model:
    """Build and compile a classifier for the manifest's tiles.

    Args:
        architecture: the network.
        manifest: shape, statistics and classes of the tiles.
        options: the network's settings.

    Returns:
        A compiled model from raw digital numbers, any dtype, `(batch, height, width, bands)`, to probabilities of the
        manifest's classes, float32, `(batch, classes)`.
    """
    tiles = keras.Input(manifest.tile_shape, name="tiles")
    features = _BUILDERS[architecture](_standardise(tiles, manifest), manifest, options)
    # float32 whatever the layers before compute in: a softmax in half precision does not add up to 1.
    probabilities = keras.layers.Dense(
        len(manifest.class_names), activation="softmax", dtype="float32", name="probabilities"
    )(features)
    model = keras.Model(tiles, probabilities, name=architecture)
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    model.optimizer.build(model.trainable_variables)  # Keras warns when it loads a model whose optimizer was not
    return model


def _standardise(tiles: keras.KerasTensor, manifest: Manifest) -> keras.KerasTensor:
    """Bring each band to mean 0 and variance 1 over the training tiles, inside the model: serving cannot differ."""
    # A band that is the same everywhere has variance 0, and a pixel that differs at serving would become huge.
    variances = [band.std**2 or 1.0 for band in manifest.statistics]
    means = [band.mean for band in manifest.statistics]
    return keras.layers.Normalization(mean=means, variance=variances, name="standardise")(tiles)


def _cnn(values: keras.KerasTensor, manifest: Manifest, options: ModelOptions) -> keras.KerasTensor:
    """Blocks of convolution, each halving the sides, then one dense layer over the mean of what is left."""
    sides: tuple[int, ...] = manifest.tile_shape[:2]
    for number, filters in enumerate(options.filters, start=1):
        name = f"block{number}"
        values = keras.layers.Conv2D(
            filters, options.kernel_size, padding="same", activation="relu", name=f"{name}_conv"
        )(values)
        values = keras.layers.BatchNormalization(momentum=options.batch_norm_momentum, name=f"{name}_norm")(values)
        pool = tuple(2 if side > 1 else 1 for side in sides)  # a small tile is down to one pixel before the last block
        values = keras.layers.MaxPooling2D(pool, padding="same", name=f"{name}_pool")(values)
        # Less in early blocks: dropout changes the variance that the BatchNormalization of the next block gets used to
        # in training, and does not at inference (https://arxiv.org/abs/1801.05134).
        dropped = options.block_dropout * number / len(options.filters)
        values = keras.layers.Dropout(dropped, name=f"{name}_dropout")(values)
        sides = tuple(-(-side // step) for side, step in zip(sides, pool, strict=True))
    values = keras.layers.GlobalAveragePooling2D(name="mean")(values)
    values = keras.layers.Dense(options.dense_units, activation="relu", name="dense")(values)
    return keras.layers.Dropout(options.dropout, name="dropout")(values)


_BUILDERS: dict[Architecture, Builder] = {"cnn": _cnn}
