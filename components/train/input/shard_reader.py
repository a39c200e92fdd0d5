"""Decoding of shards into arrays, in one pass that also computes the checksum."""

import contextlib
import struct
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import xxhash

from tilepipe.components.shared.contracts.manifest import Manifest, Shard
from tilepipe.components.shared.contracts.shards import ADVICE, check_shard
from tilepipe.components.shared.errors import ArtifactError
from tilepipe.components.shared.records.example import features, only_bytes, values
from tilepipe.components.shared.runtime.parallel import map_in_order
from tilepipe.components.shared.storage import storage
from tilepipe.components.train.input.shard_cache import ShardCache
from tilepipe.components.train.input.shuffle_order import Window

Images = npt.NDArray[Any]
Labels = npt.NDArray[np.int64]

DOWNLOADS = 2
"""Parallel downloads, and so the number of shards that the disk must hold."""

_HEADER = struct.Struct("<Q4x")  # the length of a record; its checksum is covered by that of the file
_TRAILER_BYTES = 4
_PIECE_BYTES = 4 * 2**20
_ALIGNMENT_BYTES = 64  # alignment that TensorFlow requires of foreign memory


class ShardReader:
    """Reader of whole shards of one split.

    Args:
        uris: address of each shard, in the manifest's order: a local path, which is read in place, or `s3://...`.
        shards: their entries in the manifest.
        manifest: description of the tiles.
        cache: cache for shards from S3; None if all are local.
    """

    def __init__(
        self, uris: Sequence[str], shards: Sequence[Shard], manifest: Manifest, cache: ShardCache | None
    ) -> None:
        self._uris, self._shards, self._manifest, self._cache = uris, shards, manifest, cache

    def read(self, numbers: Sequence[int], stopped: threading.Event) -> tuple[Images, Labels]:
        """Read some shards; the next ones are downloaded meanwhile.

        Args:
            numbers: indices into the manifest's list.
            stopped: cancels the read when set.

        Returns:
            `images`, the manifest's dtype, `(tiles, height, width, bands)`, aligned so that TensorFlow need not copy
            them, and `labels`, int64, `(tiles,)`: the tiles of the shards in the order of `numbers`.

        Raises:
            ArtifactError: a shard is missing, truncated or damaged.
            StorageError: a store cannot be reached.
            CancelledError: `stopped` was set.
        """
        tiles = sum(self._shards[number].tiles for number in numbers)
        images = aligned((tiles, *self._manifest.tile_shape), np.dtype(self._manifest.dtype))
        labels = np.empty(tiles, np.int64)
        start = 0

        def fetch(number: int) -> int:
            _check_cancelled(stopped)
            with self._open(number):
                return number

        with contextlib.closing(_iterate(fetch, numbers)) as fetched:
            for number in fetched:
                end = start + self._shards[number].tiles
                with self._open(number) as path:
                    self._read_one(path, number, (images[start:end], labels[start:end]), stopped)
                start = end
        return images, labels

    @contextlib.contextmanager
    def _open(self, number: int) -> Iterator[Path]:
        uri = self._uris[number]
        if self._cache is None or not storage.is_remote(uri):
            yield Path(uri)
            return
        with self._cache.open(uri, self._shards[number]) as path:
            yield path

    def _read_one(self, path: Path, number: int, into: tuple[Images, Labels], stopped: threading.Event) -> None:
        shard, (images, labels) = self._shards[number], into
        check_shard(path, shard, verify=False, shown=self._uris[number])
        digest, done = xxhash.xxh3_128(), 0
        try:
            for record in _records(path, digest, stopped):
                found = features(record)
                # NumPy copies a tile once; TensorFlow's parser copies it four times, and takes five times as long for
                # large tiles.
                images[done] = np.frombuffer(only_bytes(found["image"]), images.dtype).reshape(images.shape[1:])
                (labels[done],) = values(found["label"])
                done += 1
            whole = done == shard.tiles and digest.hexdigest() == shard.checksum
        except (ValueError, KeyError, IndexError):  # not tiles, or too many
            whole = False
        if not whole:
            check_shard(
                path, shard, shown=self._uris[number]
            )  # raises if damaged; otherwise the manifest does not match
            raise ArtifactError(
                f"Shard {self._uris[number]} must hold {shard.tiles:,} tiles of {self._manifest.tile_shape} "
                f"{self._manifest.dtype}. Received: other records. {ADVICE}"
            )


class ReadAhead:
    """Background reader of windows: it reads the next one while the current one is used."""

    def __init__(self, reader: ShardReader, windows: Sequence[Window]) -> None:
        self._reader, self._left = reader, iter(windows)
        self._stopped = threading.Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="tilepipe-tiles")
        self._next: Future[tuple[Images, Labels]] | None = None
        self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Cancel the reading, and wait until it has ended."""
        self._stopped.set()
        self._pool.shutdown(cancel_futures=True)

    def take(self) -> tuple[Images, Labels]:
        """Wait for the next window, and start reading the one after it."""
        if self._next is None:
            raise ValueError("there is no window left")
        arrays = self._next.result()
        self._start()
        return arrays

    def _start(self) -> None:
        window = next(self._left, None)
        self._next = None if window is None else self._pool.submit(self._reader.read, window.shards, self._stopped)


def aligned(shape: tuple[int, ...], dtype: "np.dtype[Any]") -> Images:
    """Allocate an uninitialized array aligned as TensorFlow requires to use it without a copy."""
    size = int(np.prod(shape)) * dtype.itemsize
    memory = np.empty(size + _ALIGNMENT_BYTES, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT_BYTES
    return memory[start : start + size].view(dtype).reshape(shape)


def _iterate(fetch: Any, numbers: Sequence[int]) -> Any:  # noqa: ANN401 - a generator, which can be closed
    return map_in_order(fetch, numbers, threads=DOWNLOADS, window=DOWNLOADS)


def _check_cancelled(stopped: threading.Event) -> None:
    if stopped.is_set():
        raise CancelledError


def _records(path: Path, digest: xxhash.xxh3_128, stopped: threading.Event) -> Iterator[memoryview]:
    """Yield the payloads of a TFRecord file, each valid until the next one, and update the digest.

    Raises:
        ValueError: the file ends within a record.
        CancelledError: `stopped` was set.
    """
    buffer, held = bytearray(_PIECE_BYTES), 0
    with path.open("rb", buffering=0) as file:
        while True:
            _check_cancelled(stopped)
            view, start = memoryview(buffer), 0
            count = file.readinto(view[held:])
            if not count:
                break
            digest.update(view[held : held + count])
            held += count
            while held - start >= _HEADER.size:
                first = start + _HEADER.size
                last = first + _HEADER.unpack_from(buffer, start)[0]
                if last + _TRAILER_BYTES > held:
                    break
                yield view[first:last]
                start = last + _TRAILER_BYTES
            held -= start
            view[:held] = view[start : start + held]
            if held == len(buffer):  # the record is larger than the buffer
                buffer = bytearray(view) + bytearray(held)
    if held:
        raise ValueError("the file ends within a record")
