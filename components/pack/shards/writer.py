"""Assignment of tiles to the shards of a split, and writing of the shards with their checksums."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

import xxhash

from tilepipe.components.shared.contracts.manifest import Shard, Split
from tilepipe.components.shared.records.frames import Buffer
from tilepipe.components.shared.storage.sizes import MEBIBYTE

_PIECE_BYTES = MEBIBYTE // 4
"""Size of a write: large enough to amortize the handover of the GIL, small enough to stay in the CPU cache between
hashing and writing."""


@dataclass(frozen=True)
class ShardPlan:
    """Number of shards of a split, and assignment of the planned tiles to them.

    Unusable tiles keep their places, so leaving one out does not move another tile to another shard, and a shard has
    the same name and bytes whichever worker packs it.
    """

    split: Split
    tiles: int
    """Number of planned tiles."""
    count: int
    """Number of shards."""

    @classmethod
    def of(cls, split: Split, tiles: int, tile_bytes: int, shard_mebibytes: int) -> Self:
        """Plan shards of about the requested size, for records of about `tile_bytes`."""
        wanted = round(tiles * tile_bytes / (shard_mebibytes * MEBIBYTE))
        return cls(split, tiles, min(max(wanted, 1), tiles))

    def name(self, shard: int) -> str:
        """Return the file name of a shard."""
        return f"{self.split}-{shard:05d}-of-{self.count:05d}.tfrecord"

    def places(self, shard: int) -> range:
        """Return the positions of the tiles of a shard among the planned tiles of the split."""
        first, following = (-(-number * self.tiles // self.count) for number in (shard, shard + 1))
        return range(first, following)

    def of_part(self, part: int, parts: int) -> range:
        """Return the numbers of the shards of one part."""
        return range(part, self.count, parts)


class ShardWriter:
    """Writer of the shards of a split, one after the other; a shard without records is not written.

    A context manager.

    Args:
        folder: folder for the files.
        plan: assignment of the tiles to shards.
    """

    def __init__(self, folder: Path, plan: ShardPlan) -> None:
        self._folder, self._plan = folder, plan
        self._shards: dict[int, Shard] = {}
        self._number = -1
        self._file: BinaryIO | None = None
        self._hash = xxhash.xxh3_128()
        self._waiting: list[Buffer] = []
        self._tiles = self._waiting_bytes = self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, shard: int, record: Sequence[Buffer]) -> None:
        """Write a framed record, given in parts, to a shard that is not finished."""
        if shard != self._number or self._file is None:
            self._close()
            self._number = shard
            self._file = (self._folder / self._plan.name(shard)).open("wb", buffering=0)
        self._waiting.extend(record)
        self._waiting_bytes += sum(map(len, record))
        self._tiles += 1
        if self._waiting_bytes >= _PIECE_BYTES:
            self._flush(self._file)

    def finish(self) -> dict[int, Shard]:
        """Close the last file, and return the shards by their numbers."""
        self._close()
        return self._shards

    def _flush(self, file: BinaryIO) -> None:
        piece = b"".join(self._waiting)  # type: ignore[arg-type] # typeshed: arrays are buffers from Python 3.12 on
        self._hash.update(piece)
        written = 0
        while written < len(piece):  # a raw file may write less than requested
            written += file.write(memoryview(piece)[written:])
        self._bytes += len(piece)
        self._waiting, self._waiting_bytes = [], 0

    def _close(self) -> None:
        if self._file is None:
            return
        self._flush(self._file)
        self._file.close()
        self._file = None
        name = self._plan.name(self._number)
        self._shards[self._number] = Shard(
            name=name, tiles=self._tiles, bytes=self._bytes, checksum=self._hash.hexdigest()
        )
        self._hash, self._tiles, self._bytes = xxhash.xxh3_128(), 0, 0
