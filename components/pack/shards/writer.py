"""A split's shards: which tile goes into which file, and the files with their checksums."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

import xxhash

from tilepipe.components.shared.contracts.manifest import Shard, Split
from tilepipe.components.shared.records.frames import Buffer

_MEBIBYTE = 1024 * 1024
_PIECE_BYTES = _MEBIBYTE // 4
"""Size of a write: large enough to amortize the handover of the GIL, small enough to stay in the CPU cache between
hashing and writing."""


@dataclass(frozen=True)
class ShardPlan:
    """How many shards a split has, and which tiles each holds: by the tiles that were planned, whatever comes of them.

    So a tile that turns out unusable moves no other tile to another file, and whoever packs a part of the shards gives
    them the same names and bytes as whoever packs them all.
    """

    split: Split
    tiles: int
    """Number of planned tiles."""
    count: int
    """Number of shards."""

    @classmethod
    def of(cls, split: Split, tiles: int, tile_bytes: int, shard_mebibytes: int) -> Self:
        """As many shards as their size asks for.

        Args:
            split: the first part of their names.
            tiles: how many tiles are planned.
            tile_bytes: size of one record, about.
            shard_mebibytes: about how large a file may get.
        """
        wanted = round(tiles * tile_bytes / (shard_mebibytes * _MEBIBYTE))
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
    """Writes a split's records into its shards, one shard after the other; one that gets no record is no file.

    Use as a context.

    Args:
        folder: where the files go.
        plan: their names.
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
        """Write one record.

        Args:
            shard: the number of its shard; never one that was left before.
            record: the framed record, in parts.
        """
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
        while written < len(piece):  # a raw file may take less than it is given
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
