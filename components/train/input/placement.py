"""Location of the shards of a split, and placement of its tiles."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from tilepipe.components.shared.contracts.manifest import Manifest, SplitSummary
from tilepipe.components.shared.contracts.shards import check_shards, locate_shards
from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.shared.storage.sizes import MEBIBYTE
from tilepipe.components.train.input.options import DataOptions
from tilepipe.components.train.input.shuffle_order import ShuffleOrder

Place = Literal["memory", "device", "streamed"]


def locate(where: Sequence[Path] | Sequence[str], summary: SplitSummary) -> list[str]:
    """Find a split's shards in artifacts or at addresses of folders, in the manifest's order, and check their sizes.

    Raises:
        ArtifactError: a shard is missing, duplicated, or of another size than when it was packed.
        SourceError: an address is invalid or does not exist.
        StorageError: a store cannot be reached or denies access.
    """
    if all(isinstance(folder, Path) for folder in where):
        return [str(path) for path in check_shards([Path(folder) for folder in where], summary)]
    return locate_shards([str(folder) for folder in where], summary)


def plan(
    summary: SplitSummary, manifest: Manifest, seed: int, options: DataOptions, memory_mebibytes: int, *, gpu: bool
) -> tuple[ShuffleOrder, Place]:
    """Choose the placement of a split, and the size of its shuffle windows.

    Raises:
        ParameterError: the requested placement does not fit.
    """
    tile_bytes = int(np.prod(manifest.tile_shape)) * np.dtype(manifest.dtype).itemsize
    mebibytes = summary.tiles * tile_bytes / MEBIBYTE
    place: Place
    if options.placement != "auto":
        place = options.placement
        if place != "streamed" and mebibytes > memory_mebibytes:
            raise ParameterError(
                f"A split that is not streamed must fit into a third of `memory`, {memory_mebibytes:,} MiB. Received: "
                f"placement={place!r} for {mebibytes:,.0f} MiB of tiles. Use placement='streamed', or more memory."
            )
    elif mebibytes > min(options.cache_mebibytes, memory_mebibytes):
        place = "streamed"
    else:
        place = "device" if gpu and mebibytes <= options.device_mebibytes else "memory"
    window_tiles = max(1, options.window_mebibytes * MEBIBYTE // tile_bytes) if place == "streamed" else summary.tiles
    return ShuffleOrder(tuple(shard.tiles for shard in summary.shards), window_tiles, seed), place


def cache_bytes(options: DataOptions, summary: SplitSummary) -> int:
    """Return the size limit of the disk cache for the shards of a split, in bytes.

    Raises:
        ParameterError: the limit is smaller than two shards.
    """
    largest = max(shard.bytes for shard in summary.shards)
    limit = options.shard_cache_mebibytes * MEBIBYTE
    if limit < 2 * largest:
        raise ParameterError(
            "`shard_cache_mebibytes` must hold two shards: one is downloaded while another is read. Received: "
            f"shard_cache_mebibytes={options.shard_cache_mebibytes} for shards of up to {largest:,} bytes. "
            f"Use {-(-2 * largest // MEBIBYTE):,} or more."
        )
    return limit
