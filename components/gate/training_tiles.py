"""Tiles that a model was trained on, by id and by checksum of the pixels."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import xxhash

from tilepipe.components.shared.errors import ArtifactError
from tilepipe.components.shared.storage import storage

_SEEN = ("train", "val")
"""Splits that influence a model: its weights come from train, and its epoch was chosen on val."""


@dataclass(frozen=True)
class TrainingTiles:
    """Ids and pixel checksums of the tiles that influenced a model."""

    ids: frozenset[str]
    digests: frozenset[bytes]
    """XXH3 of the pixels, 128 bits; empty if they are of other bands."""

    @classmethod
    def read(cls, address: str, *, same_pixels: bool = True) -> Self:
        """Read the tables of packed tiles that `pack` wrote.

        Args:
            address: address of a Parquet file, or a JSON list of such addresses.
            same_pixels: whether their checksums are comparable with those of the tiles to judge on. Defaults to True.

        Returns:
            The tiles of train and val.

        Raises:
            SourceError: a file no longer exists.
            ArtifactError: a file is not such a table.
            StorageError: a store cannot be reached or denies access.
        """
        addresses = json.loads(address) if address.startswith("[") else [address]
        ids: set[str] = set()
        digests: set[bytes] = set()
        for one in addresses:
            for tile_id, digest in _rows(storage.from_artifact(one)):
                ids.add(tile_id)
                digests.add(digest)
        return cls(frozenset(ids), frozenset(digests if same_pixels else ()))

    def is_seen(self, tile_id: str, image: "np.ndarray[Any, Any]") -> bool:
        """Return whether a tile, or one with the same pixels, is among them."""
        if tile_id in self.ids:
            return True
        return bool(self.digests) and xxhash.xxh3_128_digest(np.ascontiguousarray(image)) in self.digests  # type: ignore[arg-type] # typeshed: arrays are buffers from Python 3.12 on


def _rows(uri: str) -> Iterator[tuple[Any, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with storage.staged(uri) as path:
            table = pq.read_table(path, columns=["tile_id", "split", "digest"], filters=[("split", "in", _SEEN)])
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise ArtifactError(
            f"The list of training tiles must be a table of `pack`. Received: {storage.shown(uri)}, which reads as: "
            f"{error}."
        ) from error
    return zip(table["tile_id"].to_pylist(), table["digest"].to_pylist(), strict=True)
