"""Tiles to augment, and their possible results."""

import numpy as np
import tensorflow as tf

from tests.support.packed import manifest_for
from tilepipe.components.train.input.augmentation import AugmentationOptions, Augmenter


def tiles_of(count=64, shape=(5, 5, 2), dtype="uint16"):
    return np.random.default_rng(0).integers(1, 250, (count, *shape)).astype(dtype)


def one_hot(count, classes=3):
    return np.eye(classes, dtype="float32")[np.arange(count) % classes]


def augmenter_for(tiles, names, nodata=None, statistics=None, **options):
    manifest = manifest_for(tiles.shape[1:], str(tiles.dtype), statistics=statistics)
    return Augmenter(names, AugmentationOptions(**options), manifest.model_copy(update={"nodata": nodata}))


def changed(tiles, names, seed=(1, 2), labels=None, **options):
    """Augment tiles; returns them, with their labels if labels are given."""
    given = one_hot(len(tiles)) if labels is None else labels
    made = augmenter_for(tiles, names, **options)(tf.constant(tiles), tf.constant(given), tf.constant(seed, tf.int64))
    images, new_labels = (tensor.numpy() for tensor in made)
    return images if labels is None else (images, new_labels)


def ways(tile, turns=(0, 1, 2, 3)):
    """Return all possible results for a tile: turned, and turned and flipped."""
    turned = [np.rot90(tile, k) for k in turns]
    return [*turned, *(np.flip(t, 1) for t in turned)]


def which(tile, new, candidates):
    return next(number for number, way in enumerate(candidates(tile)) if np.array_equal(way, new))
