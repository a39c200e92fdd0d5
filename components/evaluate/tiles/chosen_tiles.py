"""Pixels of a few tiles, read again from the shards of which all tiles were read and verified before."""

import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from tilepipe.components.shared.contracts.manifest import Manifest, Split
from tilepipe.components.shared.contracts.shards import check_shards
from tilepipe.components.shared.records.example import features, only_bytes

# https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
_HEADER = struct.Struct("<Q4x")  # the length, and its checksum, which is skipped
_TRAILER_BYTES = 4


def read_chosen(
    folders: Sequence[Path], split: Split, manifest: Manifest, positions: Collection[int]
) -> Mapping[int, npt.NDArray[Any]]:
    """Read the tiles at some places in the sequence of a split's shards, seeking past all others.

    Returns:
        Place -> pixels, the manifest's dtype, `(height, width, bands)`.

    Raises:
        ArtifactError: a shard is missing.
    """
    summary, wanted = manifest.splits[split], set(positions)
    tiles: dict[int, npt.NDArray[Any]] = {}
    start = 0
    for path, shard in zip(check_shards(folders, summary), summary.shards, strict=True):
        here = {place - start for place in wanted if start <= place < start + shard.tiles}
        if here:
            with path.open("rb") as file:
                for number, payload in _records(file, here):
                    pixels = np.frombuffer(only_bytes(features(payload)["image"]), np.dtype(manifest.dtype))
                    tiles[start + number] = pixels.reshape(manifest.tile_shape)
        start += shard.tiles
    return tiles


def _records(file: BinaryIO, numbers: Collection[int]) -> Iterator[tuple[int, bytes]]:
    """Yield number and payload of some records, at least one."""
    for number in range(max(numbers) + 1):
        (length,) = _HEADER.unpack(file.read(_HEADER.size))
        if number in numbers:
            yield number, file.read(length)
            length = 0
        file.seek(length + _TRAILER_BYTES, 1)
