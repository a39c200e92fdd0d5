"""Predictions of a model for each tile of a split."""

import contextlib
import itertools
import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tilepipe.components.evaluate.figures.arrays import Counts, Probabilities
from tilepipe.components.evaluate.tiles.tile_variants import Variation, variants
from tilepipe.components.shared.contracts.manifest import Manifest, Split
from tilepipe.components.shared.contracts.shard_tiles import Images, aligned, read_tiles
from tilepipe.components.shared.contracts.shards import check_shards
from tilepipe.components.shared.errors import ArtifactError
from tilepipe.components.shared.figures import SUM_TOLERANCE
from tilepipe.components.shared.logs.progress import Progress
from tilepipe.components.shared.runtime.parallel import map_in_order

logger = logging.getLogger("tilepipe.evaluate")

_BATCHES_AHEAD = 2

_Batch = tuple[Images, Counts, list[str]]
"""Images, labels and ids of some tiles."""


@dataclass(frozen=True, eq=False)
class SplitPredictions:
    """Predictions for the tiles of a split, sorted by `tile_id`."""

    split: Split
    tile_ids: Sequence[str]
    labels: Counts
    """True classes, int64, `(tiles,)`."""
    probabilities: Probabilities
    """Predicted probabilities, float32, `(tiles, classes)`."""
    positions: Counts | None = None
    """Places of the tiles in the sequence of the split's shards, int64, `(tiles,)`; None if unknown."""
    averaged: Probabilities | None = None
    """Means of the probabilities over the variants of each tile, float32, `(tiles, classes)`; None without variants."""

    @property
    def predicted(self) -> Counts:
        """Class with the highest probability, the first one of several, int64, `(tiles,)`."""
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)

    @property
    def probability(self) -> npt.NDArray[np.float32]:
        """Probability of the predicted class, float32, `(tiles,)`."""
        return np.asarray(self.probabilities.max(axis=1), dtype=np.float32)


def predict_split(
    model: Any,  # noqa: ANN401
    folders: Sequence[Path],
    split: Split,
    manifest: Manifest,
    batch_size: int,
    variations: Collection[Variation] = (),
) -> SplitPredictions:
    """Run a model over one split, batch by batch.

    Only a few batches of pixels are in memory at a time; ids, labels and probabilities of all tiles are kept.

    Args:
        model: a Keras model that fits the manifest.
        folders: folders with the shards of the split, one per packed part.
        split: the split; it must not be empty.
        manifest: description of the shards.
        batch_size: tiles per batch; the last batch may be smaller.
        variations: variants of the tiles over which probabilities are averaged as well. Defaults to none.

    Returns:
        The predictions, sorted by `tile_id`.

    Raises:
        ArtifactError: a shard is damaged, a label is not a class, or the outputs of the model are not probabilities.
    """
    summary, classes = manifest.splits[split], len(manifest.class_names)
    labels = np.empty(summary.tiles, np.int64)
    probabilities = np.empty((summary.tiles, classes), np.float32)
    averaged = np.empty_like(probabilities) if variations else None
    tile_ids: list[str] = []
    progress = Progress(logger, f"predicted in {split}:", summary.tiles, "tiles")
    count = -(-summary.tiles // batch_size)
    unread = _batches(folders, split, manifest, batch_size)
    # Batches are read on a thread while the model predicts the ones before.
    ahead = map_in_order(lambda _: next(unread), range(count), threads=1, window=_BATCHES_AHEAD)
    with contextlib.closing(ahead) as batches:
        for images, batch_labels, batch_ids in batches:
            part = slice(len(tile_ids), len(tile_ids) + len(batch_labels))
            labels[part] = batch_labels
            probabilities[part] = model.predict_on_batch(images)
            if averaged is not None:
                others = [model.predict_on_batch(variant) for variant in variants(images, variations)]
                averaged[part] = np.mean([probabilities[part], *others], axis=0)
            tile_ids.extend(batch_ids)
            progress.advance(len(batch_labels))
    progress.finish()
    _check_labels(labels, manifest, split)
    _check_probabilities(probabilities)
    order = np.array(sorted(range(len(tile_ids)), key=tile_ids.__getitem__), dtype=np.int64)
    return SplitPredictions(
        split,
        [tile_ids[i] for i in order],
        labels[order],
        probabilities[order],
        positions=order,
        averaged=None if averaged is None else averaged[order],
    )


def _batches(folders: Sequence[Path], split: Split, manifest: Manifest, batch_size: int) -> Iterator[_Batch]:
    summary = manifest.splits[split]
    paths = check_shards(folders, summary)
    tiles = itertools.chain.from_iterable(
        read_tiles(path, shard, manifest) for path, shard in zip(paths, summary.shards, strict=True)
    )
    left = summary.tiles
    while left:
        size = min(batch_size, left)
        images = aligned((size, *manifest.tile_shape), np.dtype(manifest.dtype))
        labels, tile_ids = np.empty(size, np.int64), []
        for i, tile in enumerate(itertools.islice(tiles, size)):
            images[i], labels[i] = tile.image, tile.label
            tile_ids.append(tile.tile_id)
        left -= size
        if not left:
            next(tiles, None)  # compares the checksum of the last shard
        yield images, labels, tile_ids


def _check_labels(labels: Counts, manifest: Manifest, split: Split) -> None:
    classes = len(manifest.class_names)
    if labels.min() < 0 or labels.max() >= classes:
        raise ArtifactError(
            f"Labels must be 0 to {classes - 1}, one for each class of the manifest. Received: labels "
            f"{labels.min()} to {labels.max()} in the {split} shards. The manifest and the shards must come from the "
            "same `pack`: run it again, or give this step its outputs."
        )


def _check_probabilities(probabilities: Probabilities) -> None:
    if not np.isfinite(probabilities).all():
        raise ArtifactError(
            "The outputs of a model must be finite. Received: NaN or infinity, as after a training that diverged. "
            "Check the training curves, and train again with a smaller `learning_rate`."
        )
    sums = probabilities.sum(axis=1, dtype=np.float64)
    if probabilities.min() < 0 or abs(sums - 1).max() > SUM_TOLERANCE:
        raise ArtifactError(
            "The outputs of a model must be probabilities, non-negative and with a sum of 1. Received: values down to "
            f"{probabilities.min():.3g} and sums from {sums.min():.3g} to {sums.max():.3g}. End the model with a "
            "softmax layer."
        )
