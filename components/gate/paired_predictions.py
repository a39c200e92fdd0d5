"""Predictions of champion and challenger for the challenger's test tiles, one batch at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from tilepipe.components.gate.judgement.paired_comparison import Labels
from tilepipe.components.gate.training_tiles import TrainingTiles
from tilepipe.components.gate.translation import Translation
from tilepipe.components.shared.contracts.manifest import Manifest
from tilepipe.components.shared.contracts.shard_tiles import Images, ShardTile, read_tiles
from tilepipe.components.shared.contracts.shards import locate_shards
from tilepipe.components.shared.figures import ClassificationFigures, classification_figures, confusion_matrix
from tilepipe.components.shared.inference.bundle_model import BundleModel
from tilepipe.components.shared.storage import storage


@dataclass(frozen=True)
class PairedPredictions:
    """Predictions for all test tiles of a challenger, as numbers of its classes."""

    labels: Labels
    """True classes, `(tiles,)`."""
    challenger: Labels
    """Predicted classes, `(tiles,)`."""
    champion: Labels
    """Predicted classes, `(tiles,)`; -1 for tiles that are left out, since it was trained on them."""

    @property
    def is_common(self) -> NDArray[np.bool_]:
        """True for the tiles that both models predicted, `(tiles,)`."""
        return self.champion >= 0

    def figures(self, classes: int) -> ClassificationFigures:
        """Compute the challenger's figures on all test tiles."""
        return classification_figures(confusion_matrix(self.labels, self.challenger, classes))


def predict_both(
    manifest: Manifest,
    folders: Sequence[str],
    challenger: BundleModel,
    champion: Translation | None,
    seen: TrainingTiles | None,
    *,
    batch_tiles: int,
) -> PairedPredictions:
    """Predict the test tiles with both models.

    Args:
        manifest: the challenger's manifest, which states the shards of the test split and their checksums.
        folders: addresses of the folders of that split, one per packed part.
        challenger: the model to judge.
        champion: the model to compare it with; None predicts with the challenger only.
        seen: tiles that the champion does not predict, since it was trained on them; None for none.
        batch_tiles: tiles per batch.

    Raises:
        ArtifactError: a shard is missing, damaged, or differs from the manifest.
        SourceError: a folder no longer exists.
        StorageError: a store cannot be reached or denies access.
    """
    summary = manifest.splits["test"]
    columns: list[tuple[Labels, Labels, Labels]] = []
    for uri, shard in zip(locate_shards(folders, summary), summary.shards, strict=True):
        with storage.staged(uri) as path:
            tiles = read_tiles(path, shard, manifest, shown=storage.shown(uri))
            for images, labels, is_seen in _batches(tiles, batch_tiles, seen):
                theirs = np.full(len(labels), -1)
                if champion is not None and not is_seen.all():
                    theirs[~is_seen] = champion.predict(images[~is_seen])
                columns.append((labels, challenger.predict(images).argmax(axis=1), theirs))
    if not columns:
        nothing = np.empty(0, np.int64)
        return PairedPredictions(nothing, nothing, nothing)
    return PairedPredictions(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def _batches(
    tiles: Iterator[ShardTile], size: int, seen: TrainingTiles | None
) -> Iterator[tuple[Images, Labels, NDArray[np.bool_]]]:
    """Yield pixels, labels, and whether the champion was trained on the tile."""
    while batch := [_copied(tile, seen) for tile in islice(tiles, size)]:
        images, labels, is_seen = zip(*batch, strict=True)
        yield np.stack(images), np.array(labels, np.int64), np.array(is_seen)


def _copied(tile: ShardTile, seen: TrainingTiles | None) -> tuple[Images, int, bool]:
    image = tile.image.copy()  # the reader's own is valid until the next tile
    return image, tile.label, seen is not None and seen.is_seen(tile.tile_id, image)
