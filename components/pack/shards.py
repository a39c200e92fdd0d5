"""A split's shards: TFRecord files of about the same size, with their checksums."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

from tilepipe.components.shared.manifest import Shard, Split

if TYPE_CHECKING:
    from hashlib import _Hash

_MEBIBYTE = 1024 * 1024


class ShardWriter:
    """Writes a split's records into as many files as their size asks for.

    A record's place among those that were planned decides its file, so tiles that turn out unusable move no other tile
    to another file. Use as a context: the files get their names, which hold their number, at its end.

    Args:
        folder: where the files go.
        split: the first part of their names.
        planned_tiles: how many records there will be at most.
        tile_bytes: size of one record, about.
        shard_mebibytes: about how large a file may get.
    """

    def __init__(self, folder: Path, split: Split, planned_tiles: int, tile_bytes: int, shard_mebibytes: int) -> None:
        self._folder, self._split, self._planned_tiles = folder, split, max(planned_tiles, 1)
        wanted = round(planned_tiles * tile_bytes / (shard_mebibytes * _MEBIBYTE))
        self._shard_count = min(max(wanted, 1), self._planned_tiles)
        self._shards: list[Shard] = []
        self._current = -1
        self._file: BinaryIO | None = None
        self._hash: _Hash = hashlib.sha256()
        self._tiles = self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, place: int, record: bytes) -> None:
        """Write one record.

        Args:
            place: its place among the planned ones; never smaller than the one before.
            record: the framed record.
        """
        shard = place * self._shard_count // self._planned_tiles
        if shard != self._current or self._file is None:
            self._close()
            self._current = shard
            self._file = (self._folder / f"{self._split}-{len(self._shards):05d}").open("wb")
        self._file.write(record)
        self._hash.update(record)
        self._tiles += 1
        self._bytes += len(record)

    def finish(self) -> tuple[Shard, ...]:
        """Close the last file, give all files their names, and return what they are."""
        self._close()
        named = []
        for index, shard in enumerate(self._shards):
            name = f"{self._split}-{index:05d}-of-{len(self._shards):05d}.tfrecord"
            (self._folder / shard.name).rename(self._folder / name)
            named.append(shard.model_copy(update={"name": name}))
        return tuple(named)

    def _close(self) -> None:
        if self._file is None:
            return
        name = Path(self._file.name).name
        self._file.close()
        self._file = None
        self._shards.append(Shard(name=name, tiles=self._tiles, bytes=self._bytes, checksum=self._hash.hexdigest()))
        self._hash, self._tiles, self._bytes = hashlib.sha256(), 0, 0
