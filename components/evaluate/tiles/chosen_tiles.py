"""Pixels of a few tiles, read again from the shards of which all tiles were read and verified before."""

import struct
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from tilepipe.components.shared.contracts.manifest import Manifest, Split
from tilepipe.components.shared.contracts.shards import check_shards
from tilepipe.components.shared.records.example import features, only_bytes

_LENGTH = struct.Struct("<Q")
_HEADER_BYTES, _TRAILER_BYTES = (
    12,
    4,
)  # https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details


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
        here = sorted(place for place in wanted if start <= place < start + shard.tiles)
        if here:
            with path.open("rb") as file:
                for place, payload in zip(here, _records(file, [place - start for place in here]), strict=True):
                    pixels = np.frombuffer(only_bytes(features(payload)["image"]), np.dtype(manifest.dtype))
                    tiles[place] = pixels.reshape(manifest.tile_shape)
        start += shard.tiles
    return tiles


def _records(file: BinaryIO, numbers: Sequence[int]) -> list[bytes]:
    """Return the payloads of the records with ascending numbers."""
    payloads, number = [], 0
    for wanted in numbers:
        while True:
            (length,) = _LENGTH.unpack(file.read(_HEADER_BYTES)[: _LENGTH.size])
            if number == wanted:
                break
            file.seek(length + _TRAILER_BYTES, 1)
            number += 1
        payloads.append(file.read(length))
        file.seek(_TRAILER_BYTES, 1)
        number += 1
    return payloads
