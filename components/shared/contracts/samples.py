"""A few tiles with their labels, in one small file that any step can read without the shards."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tilepipe.components.shared.contracts.manifest import Manifest, Split
from tilepipe.components.shared.contracts.shard_tiles import read_tiles
from tilepipe.components.shared.contracts.shards import check_shards
from tilepipe.components.shared.errors import ArtifactError
from tilepipe.components.shared.storage.atomic import whole_file

MOST_BYTES = 64 * 2**20


@dataclass(frozen=True, eq=False)
class Samples:
    """Tiles of one split."""

    split: Split
    tiles: npt.NDArray[Any]
    """Pixels in the manifest's dtype, `(samples, height, width, bands)`."""
    labels: npt.NDArray[np.int64]
    """Classes, `(samples,)`."""
    tile_ids: tuple[str, ...]


def choose_samples(
    folders: Sequence[Path], split: Split, manifest: Manifest, *, most_bytes: int = MOST_BYTES
) -> Samples:
    """Read the first tiles of a split.

    They are a random sample: `pack` orders the tiles of a split by a hash of its seed and their ids. The same shards
    give the same sample.

    Args:
        folders: Folders with the shards of the split, one per packed part.
        split: The split; it must not be empty.
        manifest: Contents of the shards.
        most_bytes: Maximum size of all pixels. Defaults to 64 MiB. One tile is taken in any case.

    Returns:
        The sample, in the order of the shards.

    Raises:
        ArtifactError: A shard is missing or damaged.
    """
    summary = manifest.splits[split]
    tile_bytes = int(np.prod(manifest.tile_shape)) * np.dtype(manifest.dtype).itemsize
    count = min(summary.tiles, max(1, most_bytes // tile_bytes))
    tiles = np.empty((count, *manifest.tile_shape), manifest.dtype)
    labels = np.empty(count, np.int64)
    tile_ids: list[str] = []
    paths = check_shards(folders, summary)
    for path, shard in zip(paths, summary.shards, strict=True):
        for tile in read_tiles(path, shard, manifest):  # to the end, where the checksum is compared
            if len(tile_ids) < count:
                tiles[len(tile_ids)], labels[len(tile_ids)] = tile.image, tile.label
                tile_ids.append(tile.tile_id)
        if len(tile_ids) == count:
            break
    return Samples(split, tiles, labels, tuple(tile_ids))


def write_samples(samples: Samples, path: Path) -> None:
    """Write a sample as an uncompressed NumPy archive, whole or not at all; the same sample gives the same bytes."""
    with whole_file(path) as partial, partial.open("wb") as file:
        np.savez(
            file,
            split=np.array(samples.split),
            tiles=samples.tiles,
            labels=samples.labels,
            tile_ids=np.array(samples.tile_ids),
        )


def read_samples(path: Path, manifest: Manifest) -> Samples:
    """Read a sample, which holds at least one tile.

    Raises:
        ArtifactError: The file is damaged, or its tiles are not those of the manifest.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            split = next(name for name in manifest.splits if name == str(arrays["split"]))
            tiles, labels, tile_ids = arrays["tiles"], arrays["labels"], tuple(map(str, arrays["tile_ids"].tolist()))
    except (OSError, ValueError, KeyError, StopIteration, EOFError, zipfile.BadZipFile) as error:
        raise ArtifactError(
            f"`samples` must be the file of `evaluate`. Received: {path.name}, which reads as: {error!r}."
        ) from error
    expected = f"{manifest.tile_shape} {manifest.dtype}"
    if tiles.shape[1:] != manifest.tile_shape or tiles.dtype != manifest.dtype:
        raise ArtifactError(
            f"Samples must be tiles of {expected}, as the manifest states. Received: {tiles.shape[1:]} {tiles.dtype}. "
            "Give the outputs of one pipeline run."
        )
    if (
        not len(tiles) == len(labels) == len(tile_ids) > 0
        or labels.min() < 0
        or labels.max() >= len(manifest.class_names)
    ):
        raise ArtifactError(
            f"Samples must be at least one tile, each with a class of the manifest. Received: {len(tiles):,} tiles, "
            f"{len(labels):,} labels and {len(tile_ids):,} ids. Give the outputs of one pipeline run."
        )
    return Samples(split, tiles, labels, tile_ids)
