"""The tiles that were fetched before: a killed run goes on where it was, a recurring one fetches only what is new.

A content is kept under a key that says what it is and which version of it:

- BLAKE2b-128 of `[uri, member, offset, bytes, "checksum", checksum]` where its source states a checksum;
- of `[uri, member, offset, bytes, "snapshot", snapshot]` where it states none: `bytes` is null where that is unknown
  too, and `snapshot` is the tile table's.

So what has changed is fetched anew where the source's checksum or the snapshot says so, and never served stale under
another checksum, size or snapshot. Many processes may use a place at once: each writes segments of its own.
"""

import contextlib
import hashlib
import json
import logging
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

import google_crc32c
import numpy as np

from tilepipe.components.pack.cache.cache_place import Place, open_place
from tilepipe.components.pack.cache.segments import (
    MAX_ENTRY_BYTES,
    ROW,
    SEGMENT_BYTES,
    SEGMENT_ENTRIES,
    BlockReader,
    Rows,
    halves,
    read_index,
    write_segment,
)
from tilepipe.components.shared.errors import SourceError, StorageError
from tilepipe.components.shared.storage import storage

if TYPE_CHECKING:
    from tilepipe.components.pack.tiles.reader import Tile

logger = logging.getLogger("tilepipe.pack")

FLUSH_SECONDS = 30.0
"""A segment is written at least this often, so that a kill costs no more than what was fetched in that time."""

_INDEX_READERS = 16
_OWN_ENTRIES = 4096


class TileCache:
    """Contents of tiles by key, in a folder or a bucket. Use as a context; all methods may be called from any thread.

    Only what can be reached at another machine belongs in it, and only once it has proved usable: a tile that its owner
    mends must not be served as it was.

    Args:
        address: a local folder, or `s3://bucket/prefix`.
        snapshot: as of when the source was read, as the tile table has it.
        flush_seconds: the longest time that what was put waits to be written.

    Raises:
        ParameterError: the address is neither.
        StorageError: nothing can be written or read there.
    """

    def __init__(self, address: str, snapshot: str, *, flush_seconds: float = FLUSH_SECONDS) -> None:
        self.address = address
        self._snapshot, self._flush_seconds = snapshot, flush_seconds
        self._changed = threading.Condition()
        self._filling: dict[bytes, bytes] = {}
        self._writing: dict[bytes, bytes] = {}
        self._filling_bytes, self._filling_since = 0, 0.0
        # What this run wrote first: the tiles that are looked at before the packing are asked for twice.
        self._own: dict[bytes, tuple[str, np.void]] = {}
        self._is_closing = self._writes_failed = self._reads_failed = False
        self._warned: set[str] = set()
        self._counts: Counter[str] = Counter()
        self._place: Place = open_place(address)
        self._reader = BlockReader(self._place)
        self._open_index()
        self._writer = threading.Thread(target=self._write_segments, name="tilepipe-cache", daemon=True)
        self._writer.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def key(self, uri: str, member: str | None, offset: int | None, size: int | None, checksum: str | None) -> bytes:
        """The key of a content.

        Args:
            uri: the file or object that it is, or is in.
            member: its path within a zip, or None.
            offset: where it starts in the file, or None.
            size: how many bytes it is to have, or None.
            checksum: what its source says of it, or None.

        Returns:
            16 bytes.
        """
        version = ["checksum", checksum] if checksum else ["snapshot", self._snapshot]
        text = json.dumps([uri, member, offset, size, *version])
        return hashlib.blake2b(text.encode(), digest_size=16).digest()

    def key_of(self, tile: "Tile") -> bytes:
        """The key of a tile's content."""
        return self.key(tile.uri, tile.member, tile.offset, tile.bytes, tile.checksum)

    def holds(self, key: bytes) -> bool:
        """Whether something was put under a key; it may turn out to be damaged."""
        with self._changed:
            is_new = key in self._filling or key in self._writing
        return is_new or next(self._places(key), None) is not None

    def get(self, key: bytes) -> bytes | None:
        """What was put under a key, in this run or an earlier one.

        Args:
            key: as `key` gives it.

        Returns:
            The content, or None where it is not here or damaged.
        """
        with self._changed:
            found = self._filling.get(key) or self._writing.get(key)
        content = found or self._stored(key)
        with self._changed:
            self._counts["reads"] += 1
            self._counts["hits"] += content is not None
        return content

    def put(self, key: bytes, content: bytes) -> None:
        """Keep a content; it is written later, by another thread. Waits where that thread is a whole segment behind.

        Args:
            key: as `key` gives it.
            content: what was fetched, and is usable.
        """
        if not 0 < len(content) <= MAX_ENTRY_BYTES:
            return
        with self._changed:
            self._changed.wait_for(lambda: self._writes_failed or self._is_closing or not self._is_full())
            if self._writes_failed or self._is_closing or key in self._filling or key in self._writing:
                return
            if not self._filling:
                self._filling_since = time.monotonic()
            self._filling[key] = content
            self._filling_bytes += len(content)
            if self._is_full():
                self._changed.notify_all()

    def close(self) -> None:
        """Write what has been put, and say what the cache was good for."""
        with self._changed:
            if self._is_closing:
                return
            self._is_closing = True
            self._changed.notify_all()
        self._writer.join()
        self._place.close()
        logger.info("%s", self.summary())

    def summary(self) -> str:
        """What the cache was good for, as a person reads it."""
        counts = self._counts
        return (
            f"{counts['hits']:,} of {counts['reads']:,} reads of tiles came from the cache at {self.address}, "
            f"{counts['kept']:,} fetched tiles were added to it"
        )

    def _open_index(self) -> None:
        try:
            listed = sorted(self._place.segments())
            with ThreadPoolExecutor(_INDEX_READERS, thread_name_prefix="tilepipe-cache") as pool:
                found = list(pool.map(lambda each: self._index(*each), listed))
        except OSError as error:
            said = error.strerror or str(error)
            raise StorageError(f"The cache must be readable. Received: cache={self.address!r}: {said}") from None
        whole = [(name, rows) for (name, _), rows in zip(listed, found, strict=True) if rows is not None]
        self._names = [name for name, _ in whole]
        rows = np.concatenate([np.zeros(0, ROW), *(rows for _, rows in whole)])
        segments = np.repeat(np.arange(len(whole), dtype=np.uint32), [len(rows) for _, rows in whole])
        order = np.argsort(rows["high"], kind="stable")
        self._rows, self._segments = rows[order], segments[order]
        self._highs = np.ascontiguousarray(self._rows["high"])
        if len(rows):
            logger.info("the cache at %s holds %s tiles in %s files", self.address, f"{len(rows):,}", f"{len(whole):,}")

    def _index(self, name: str, size: int) -> Rows | None:
        try:
            rows = read_index(self._place, name, size)
        except SourceError:  # deleted since it was listed
            return None
        if rows is None:
            self._warn_damaged(name)
        return rows

    def _stored(self, key: bytes) -> bytes | None:
        """The content in a segment; two processes may have written the same: then the first one that is whole."""
        return next((content for place in self._places(key) if (content := self._read(*place)) is not None), None)

    def _places(self, key: bytes) -> Iterator[tuple[str, np.void]]:
        """Segments that have a key, and where."""
        if self._reads_failed:
            return
        if key in self._own:
            yield self._own[key]
            return
        high, low = halves(key)
        place = int(np.searchsorted(self._highs, np.uint64(high)))
        while place < len(self._highs) and int(self._highs[place]) == high:
            row = self._rows[place]
            if int(row["low"]) == low:
                yield self._names[self._segments[place]], row
            place += 1

    def _read(self, name: str, row: np.void) -> bytes | None:
        try:
            content = self._reader.read(name, int(row["offset"]), int(row["length"]))
        except SourceError:  # deleted or cut short since it was opened
            content = b""
        except StorageError as error:
            self._reads_failed = True  # not for each tile the retries of a store that is away
            self._warn("reads", "the cache cannot be read any more, what it holds is fetched anew: %s", error)
            return None
        if len(content) == row["length"] and google_crc32c.value(content) == row["crc"]:
            return content
        self._warn_damaged(name)
        return None

    def _warn_damaged(self, name: str) -> None:
        self._warn("damaged", "the cache is damaged, what is lost is fetched anew: see %s (delete it)", name)

    def _warn(self, kind: str, message: str, *values: object) -> None:
        with self._changed:
            is_first = kind not in self._warned
            self._warned.add(kind)
        if is_first:
            logger.warning(message, *values)

    def _is_full(self) -> bool:
        return self._filling_bytes >= SEGMENT_BYTES or len(self._filling) >= SEGMENT_ENTRIES

    def _is_due(self) -> bool:
        age = time.monotonic() - self._filling_since
        return self._is_closing or self._is_full() or (bool(self._filling) and age >= self._flush_seconds)

    def _write_segments(self) -> None:
        try:
            while not (self._is_closing and not self._filling):
                with self._changed:
                    while not self._is_due():
                        self._changed.wait(min(1.0, self._flush_seconds))
                    self._writing, self._filling, self._filling_bytes = self._filling, {}, 0
                    self._changed.notify_all()
                if self._writing:
                    self._write_segment(f"{uuid.uuid4().hex}.segment", self._writing)
                with self._changed:
                    self._writing = {}
        except OSError as error:  # a full disk, a store that is away: the packing goes on
            said = error.strerror or str(error)
            self._warn("writes", "the cache takes no more tiles, the rest is packed without it: %s", said)
        finally:
            with self._changed:  # whatever ended this thread, nobody waits for it any more
                self._writes_failed = True
                self._filling, self._writing = {}, {}
                self._changed.notify_all()

    def _write_segment(self, name: str, entries: dict[bytes, bytes]) -> None:
        rows = write_segment(self._place, name, entries)
        self._counts["kept"] += len(entries)
        if len(self._own) < _OWN_ENTRIES:
            self._own.update({key: (name, row) for key, row in zip(entries, rows, strict=True)})


def open_cache(address: str, snapshot: str) -> contextlib.AbstractContextManager[TileCache | None]:
    """The cache at an address as a context, which gives None where there is no address.

    Args:
        address: a local folder, `s3://bucket/prefix`, or empty.
        snapshot: as of when the source was read.

    Returns:
        The context.

    Raises:
        ParameterError: the address is something else.
        StorageError: nothing can be written or read there.
    """
    return TileCache(address, snapshot) if address else contextlib.nullcontext()


class CachedReader:
    """Reads the contents of one tile: what is on another machine through a cache, what is here from the disk itself.

    Args:
        cache: the cache.
        read: gives a content from its source.
    """

    def __init__(self, cache: TileCache, read: "Callable[[Tile], bytes]") -> None:
        self._cache, self._read = cache, read
        self._fetched: list[tuple[bytes, bytes]] = []
        self.hits = 0
        """How many contents came from the cache."""

    def __call__(self, tile: "Tile") -> bytes:
        """The content of a tile, or of one of its files; errors are those of `read`."""
        if not storage.is_remote(tile.uri):
            return self._read(tile)
        key = self._cache.key_of(tile)
        content = self._cache.get(key)
        if content is not None:
            self.hits += 1
            return content
        content = self._read(tile)
        self._fetched.append((key, content))
        return content

    def keep(self) -> None:
        """Put what was fetched into the cache, now that the tile has proved usable."""
        for key, content in self._fetched:
            self._cache.put(key, content)
        self._fetched.clear()
