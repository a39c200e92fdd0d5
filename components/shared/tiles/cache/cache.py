"""Cache of fetched tiles: a killed run resumes, and a recurring run fetches only what is new.

The key of an entry identifies the content and its version. It is the BLAKE2b-128 of

- `[uri, member, offset, bytes, "checksum", checksum]` if the source states a checksum;
- `[uri, member, offset, bytes, "snapshot", snapshot]` if it does not. `bytes` is null if unknown, and
  `snapshot` is that of the tile table.

A content with another checksum, size or snapshot is therefore fetched again and never served stale. Many processes may
use the same cache at once, since each writes its own segments.
"""

import contextlib
import hashlib
import json
import logging
import re
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

import google_crc32c
import numpy as np

from tilepipe.components.shared.errors import SourceError, StorageError
from tilepipe.components.shared.storage import storage
from tilepipe.components.shared.storage.place import Place
from tilepipe.components.shared.tiles.cache.segments import (
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

if TYPE_CHECKING:
    from tilepipe.components.shared.tiles.reader import Tile

logger = logging.getLogger("tilepipe.pack")

FLUSH_SECONDS = 30.0
"""Longest interval between segments, in seconds; a killed run loses at most what it fetched in that time."""

FOLDER = "tilepipe-cache-v1"
"""Subfolder of the address that a user gives, which may hold other files; its name identifies the format."""

_SEGMENT = re.compile(r"[0-9a-f]{32}\.segment")
_NOTE = (
    b"Tiles that tilepipe's pack step has fetched, so that it need not fetch them again.\n"
    b"All of it, or any file of it, may be deleted while no pack runs.\n"
)
_STALE_SECONDS = 3600
_INDEX_READERS = 16
_OWN_ENTRIES = 4096


class TileCache:
    """Contents of tiles by key, in a folder or a bucket. A context manager; all methods are thread-safe.

    Put only remote contents, and only once they have proved usable: an unusable tile that is repaired at its source
    must not be served in its old state.

    Args:
        address: a local folder, or `s3://bucket/prefix`.
        snapshot: snapshot of the tile table, an ISO 8601 time.
        flush_seconds: longest time before an entry is written, in seconds. Defaults to 30.

    Raises:
        ParameterError: if the address is neither.
        StorageError: if the address cannot be read or written.
    """

    def __init__(self, address: str, snapshot: str, *, flush_seconds: float = FLUSH_SECONDS) -> None:
        self.address = address
        self._snapshot, self._flush_seconds = snapshot, flush_seconds
        self._changed = threading.Condition()
        self._filling: dict[bytes, bytes] = {}
        self._writing: dict[bytes, bytes] = {}
        self._filling_bytes, self._filling_since = 0, 0.0
        # The first entries of this run, since the sampled tiles are read a second time when they are packed.
        self._own: dict[bytes, tuple[str, np.void]] = {}
        self._is_closing = self._writes_failed = self._reads_failed = False
        self._warned: set[str] = set()
        self._counts: Counter[str] = Counter()
        self._place = _open_place(address)
        self._reader = BlockReader(self._place)
        self._open_index()
        self._writer = threading.Thread(target=self._write_segments, name="tilepipe-cache", daemon=True)
        self._writer.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def key(self, uri: str, member: str | None, offset: int | None, size: int | None, checksum: str | None) -> bytes:
        """Compute the key of a content (16 bytes) from its place, its size in bytes and its stated checksum."""
        version = ["checksum", checksum] if checksum else ["snapshot", self._snapshot]
        text = json.dumps([uri, member, offset, size, *version])
        return hashlib.blake2b(text.encode(), digest_size=16).digest()

    def key_of(self, tile: "Tile") -> bytes:
        """Compute the key of the content of a tile."""
        return self.key(tile.uri, tile.member, tile.offset, tile.bytes, tile.checksum)

    def holds(self, key: bytes) -> bool:
        """Check whether the cache has an entry for a key; the entry may still turn out to be damaged."""
        with self._changed:
            is_new = key in self._filling or key in self._writing
        return is_new or next(self._places(key), None) is not None

    def get(self, key: bytes) -> bytes | None:
        """Get the content of a key, from this run or an earlier one; None if it is missing or damaged."""
        with self._changed:
            found = self._filling.get(key) or self._writing.get(key)
        content = found or self._stored(key)
        with self._changed:
            self._counts["reads"] += 1
            self._counts["hits"] += content is not None
        return content

    def put(self, key: bytes, content: bytes) -> None:
        """Add a content, to be written by a background thread; blocks while that thread is a whole segment behind.

        Args:
            key: a key from `key`.
            content: the fetched content, which must be usable.
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
        """Write all pending entries, and log a summary."""
        with self._changed:
            if self._is_closing:
                return
            self._is_closing = True
            self._changed.notify_all()
        self._writer.join()
        logger.info("%s", self.summary())

    def summary(self) -> str:
        """Format the numbers of hits, reads and added tiles."""
        counts = self._counts
        return (
            f"{counts['hits']:,} of {counts['reads']:,} reads of tiles came from the cache at {self.address}, "
            f"{counts['kept']:,} fetched tiles were added to it"
        )

    def _open_index(self) -> None:
        try:
            listed = sorted(each for each in self._place.sizes().items() if _SEGMENT.fullmatch(each[0]))
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
        """Read the first undamaged copy of a content; two processes may have written the same one."""
        return next((content for place in self._places(key) if (content := self._read(*place)) is not None), None)

    def _places(self, key: bytes) -> Iterator[tuple[str, np.void]]:
        """Iterate over the segments with a key, and its index row in each."""
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
            self._reads_failed = True  # an unreachable store would cost its retries for each tile
            self._warn("reads", "the cache cannot be read any more, so its tiles are fetched again: %s", error)
            return None
        if len(content) == row["length"] and google_crc32c.value(content) == row["crc"]:
            return content
        self._warn_damaged(name)
        return None

    def _warn_damaged(self, name: str) -> None:
        self._warn("damaged", "the cache is damaged, so the lost tiles are fetched again: delete %s", name)

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
        except OSError as error:  # a full disk or an unreachable store must not stop packing
            said = error.strerror or str(error)
            self._warn(
                "writes", "the cache cannot be written any more, so the remaining tiles are not cached: %s", said
            )
        finally:
            with self._changed:  # release all waiting threads in any case
                self._writes_failed = True
                self._filling, self._writing = {}, {}
                self._changed.notify_all()

    def _write_segment(self, name: str, entries: dict[bytes, bytes]) -> None:
        rows = write_segment(self._place, name, entries)
        self._counts["kept"] += len(entries)
        if len(self._own) < _OWN_ENTRIES:
            self._own.update({key: (name, row) for key, row in zip(entries, rows, strict=True)})


def _open_place(address: str) -> Place:
    """Open the folder of a cache: check that it is writable, and delete old partial files."""
    base = storage.normalize_place("cache", address)
    place = Place(f"{base.rstrip('/')}/{FOLDER}")
    try:
        place.write("README.txt", [_NOTE])
        place.sweep(_STALE_SECONDS)  # a younger one may belong to another process
    except StorageError as error:
        raise StorageError(
            f"The cache must be writable. Received: cache={address!r}, which gives: {str(error).rstrip('.')}. "
            "Give another address in the options of pack, or leave it empty to go without."
        ) from None
    return place


def open_cache(address: str, snapshot: str) -> contextlib.AbstractContextManager[TileCache | None]:
    """Open the cache at an address.

    Args:
        address: a local folder, `s3://bucket/prefix`, or empty for no cache.
        snapshot: snapshot of the tile table, an ISO 8601 time.

    Returns:
        A context manager that gives the cache, or None if the address is empty.

    Raises:
        ParameterError: if the address is invalid.
        StorageError: if the address cannot be read or written.
    """
    return TileCache(address, snapshot) if address else contextlib.nullcontext()


class CachedReader:
    """Reads the contents of one tile, remote ones through a cache and local ones directly.

    Args:
        cache: the cache.
        read: function that reads a content from its source.
    """

    def __init__(self, cache: TileCache, read: "Callable[[Tile], bytes]") -> None:
        self._cache, self._read = cache, read
        self._fetched: list[tuple[bytes, bytes]] = []
        self.hits = 0
        """Number of contents that came from the cache."""

    def __call__(self, tile: "Tile") -> bytes:
        """Read the content of a tile, or of one of its files; raises the errors of `read`."""
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
        """Add the fetched contents to the cache; call this once the tile has proved usable."""
        for key, content in self._fetched:
            self._cache.put(key, content)
        self._fetched.clear()
