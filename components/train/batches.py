"""The tiles on their way into the model."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tilepipe.components.shared.errors import ParameterError, SplitError
from tilepipe.components.shared.manifest import SPLITS, Manifest
from tilepipe.components.shared.shards import open_shards
from tilepipe.components.train.augmentation import augment, check_augmentation
from tilepipe.components.train.config import TrainConfig

if TYPE_CHECKING:
    import tensorflow as tf

logger = logging.getLogger("tilepipe.train")


def check_tiles(config: TrainConfig, manifest: Manifest) -> None:
    """Hold the parameters against what was packed, before anything is read.

    A final fit has no validation tiles, since it takes them for training: the last epoch is kept, and the test tiles
    tell how good it is.

    Raises:
        SplitError: there is nothing to train on, nothing to measure the model on, or nothing to stop early by.
        ParameterError: the batch is larger than the training split, or the augmentation does not fit the tiles.
    """
    train, val, test = (manifest.splits[split].tiles for split in SPLITS)
    patience = config.options.early_stopping_patience_epochs
    if not train or not (val or test) or (patience and not val):
        raise SplitError(
            "Training needs training tiles, and validation or test tiles to tell how good the model is; early stopping "
            f"needs validation tiles. Received: {train:,} training, {val:,} validation and {test:,} test tiles in "
            f"{manifest.name}, early_stopping_patience_epochs={patience}. "
            "Give `ingest` other `split_fractions`, `split_files` or a `split_property`."
        )
    if not val:
        logger.warning("there are no validation tiles: the last epoch is kept, whatever a better one might have been")
    if config.batch_size > train:
        raise ParameterError(
            "`batch_size` must be no larger than the training split. "
            f"Received: batch_size={config.batch_size} for {train:,} training tiles. Use batch_size={train} or less."
        )
    check_augmentation(config.augmentation, manifest)


def make_for_train(folders: Sequence[Path], manifest: Manifest, config: TrainConfig) -> "tf.data.Dataset":
    """Batches for training: mixed anew in each epoch, augmented, the same ones for the same seed.

    Args:
        folders: the training shards of all parts.
        manifest: what they hold.
        config: batch size, seed and augmentation.

    Returns:
        Batches of `images`, the manifest's dtype, `(batch_size, height, width, bands)`, and `labels`, int64,
        `(batch_size,)`. The last tiles of an epoch that fill no batch are left out; they are others in each epoch.
    """
    import tensorflow as tf

    data = open_shards(  # read, keep in memory where they fit, shuffle, batch, parse
        folders,
        manifest.splits["train"],
        manifest,
        batch_size=config.batch_size,
        shuffle_seed=config.seed,
        cache_mebibytes=config.cache_mebibytes,
        drop_remainder=True,
    )
    if config.augmentation:
        seeds = tf.data.Dataset.random(seed=config.seed, rerandomize_each_iteration=True).batch(2, drop_remainder=True)
        data = tf.data.Dataset.zip(data, seeds)  # one seed a batch, so that any number of threads gives the same tiles
        data = data.map(
            lambda batch, seed: (augment(batch[0], seed, config.augmentation), batch[1]),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
    return data.prefetch(tf.data.AUTOTUNE)


def make_for_validation(folders: Sequence[Path], manifest: Manifest, config: TrainConfig) -> "tf.data.Dataset":
    """Batches for validation: every tile once, in the shards' order, as it is.

    Args:
        folders: the validation shards of all parts.
        manifest: what they hold.
        config: batch size and cache.

    Returns:
        Batches as for training; the last one may be smaller.
    """
    import tensorflow as tf

    data = open_shards(
        folders,
        manifest.splits["val"],
        manifest,
        batch_size=config.batch_size,
        cache_mebibytes=config.cache_mebibytes,
    )
    return data.prefetch(tf.data.AUTOTUNE)
