"""Reading of whole shards into arrays, ahead of their use."""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from tilepipe.components.shared.contracts.manifest import Manifest, Shard
from tilepipe.components.shared.contracts.shard_tiles import Images, Labels, aligned, read_tiles
from tilepipe.components.shared.runtime.parallel import map_in_order
from tilepipe.components.shared.storage import storage
from tilepipe.components.train.input.shard_cache import ShardCache
from tilepipe.components.train.input.shuffle_order import Window

DOWNLOADS = 2
"""Parallel downloads, and so the number of shards that the disk must hold."""


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

        with contextlib.closing(map_in_order(fetch, numbers, threads=DOWNLOADS, window=DOWNLOADS)) as fetched:
            for number in fetched:
                shard = self._shards[number]
                with self._open(number) as path:
                    stored = read_tiles(path, shard, self._manifest, shown=self._uris[number])
                    for i, tile in enumerate(stored, start):
                        _check_cancelled(stopped)
                        images[i], labels[i] = tile.image, tile.label
                start += shard.tiles
        return images, labels

    @contextlib.contextmanager
    def _open(self, number: int) -> Iterator[Path]:
        uri = self._uris[number]
        if self._cache is None or not storage.is_remote(uri):
            yield Path(uri)
            return
        with self._cache.open(uri, self._shards[number]) as path:
            yield path


class ReadAhead:
    """Background reader of windows: it reads the next one while the current one is used."""

    def __init__(self, reader: ShardReader, windows: Sequence[Window]) -> None:
        self._reader, self._left = reader, iter(windows)
        self._stopped = threading.Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="tilepipe-tiles")
        self._next: Future[tuple[Images, Labels]] | None = None
        self._start()

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


def _check_cancelled(stopped: threading.Event) -> None:
    if stopped.is_set():
        raise CancelledError
