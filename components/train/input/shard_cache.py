"""Disk cache of shards from S3 with a size limit and least-recently-used eviction."""

import contextlib
import shutil
import tempfile
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator
from pathlib import Path

from tilepipe.components.shared.contracts.manifest import Shard
from tilepipe.components.shared.contracts.shards import check_shard
from tilepipe.components.shared.errors import ArtifactError
from tilepipe.components.shared.storage import s3
from tilepipe.components.shared.storage.atomic import whole_file

_SUFFIX = ".tfrecord"
_PARTIAL = f".partial-*{_SUFFIX}"
"""Files that `whole_file` leaves behind if the process is killed."""


class ShardCache:
    """A folder of shards, named by their checksums, that never exceeds its size limit.

    Shards left by an earlier process are reused once their checksums have been verified. Thread-safe: a shard is
    downloaded once, and kept while it is open.

    Args:
        folder: folder that only this process uses; other files in it are not touched.
        limit_bytes: at least the size of two shards, so that one can be read while another is downloaded.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self.folder, self._limit_bytes = folder, limit_bytes
        self._changed = threading.Condition()
        self._bytes: OrderedDict[str, int] = OrderedDict()  # by checksum, the least recently used first
        self._unverified: set[str] = set()
        self._loading: set[str] = set()
        self._open: Counter[str] = Counter()
        self._adopt()

    @contextlib.contextmanager
    def open(self, uri: str, shard: Shard) -> Iterator[Path]:
        """Yield the path of a shard, which is kept until the context ends.

        Yields:
            A file with the size and checksum of the manifest, verified when it was written.

        Raises:
            ArtifactError: the object is missing or differs from the packed shard.
            StorageError: the store cannot be reached, after bounded retries.
        """
        path = self._path(shard.checksum)
        if self._claim(shard):
            self._load(path, uri, shard)
        try:
            yield path
        finally:
            with self._changed:
                self._open[shard.checksum] -= 1
                self._changed.notify_all()

    def _path(self, checksum: str) -> Path:
        return self.folder / f"{checksum}{_SUFFIX}"

    def _adopt(self) -> None:
        """Adopt shards of an earlier process, within the limit."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for partial in self.folder.glob(_PARTIAL):
            partial.unlink(missing_ok=True)
        left = [path for path in self.folder.glob(f"*{_SUFFIX}") if path.is_file()]
        for path in sorted(left, key=lambda path: (path.stat().st_mtime_ns, path.name)):
            self._bytes[path.stem] = path.stat().st_size
        self._unverified = set(self._bytes)
        self._make_room(0)

    def _claim(self, shard: Shard) -> bool:
        """Reserve space for a shard; return True if the caller must load it."""
        key = shard.checksum
        with self._changed:
            while True:
                if key not in self._loading:
                    if key in self._unverified and self._bytes[key] != shard.bytes:
                        self._drop(key)
                    if key in self._bytes or self._make_room(shard.bytes):
                        break
                self._changed.wait()
            self._open[key] += 1
            ready = key in self._bytes and key not in self._unverified
            if not ready:
                self._loading.add(key)
                self._unverified.discard(key)
            self._bytes[key] = shard.bytes
            self._bytes.move_to_end(key)
            return not ready

    def _load(self, path: Path, uri: str, shard: Shard) -> None:
        """Verify an existing file, or download it; wake waiting threads in any case."""
        loaded = False
        try:
            if not (path.is_file() and _is_whole(path, shard)):
                with whole_file(path) as partial:
                    with partial.open("wb") as file:
                        s3.download(uri, file)
                    check_shard(partial, shard, shown=uri)
            loaded = True
        finally:
            with self._changed:
                self._loading.discard(shard.checksum)
                if not loaded:
                    self._open[shard.checksum] -= 1
                    self._drop(shard.checksum)
                self._changed.notify_all()

    def _make_room(self, wanted_bytes: int) -> bool:
        """Evict shards until there is room; return False if the remaining ones are all open."""
        idle = [key for key in self._bytes if not self._open[key]]
        while sum(self._bytes.values()) + wanted_bytes > self._limit_bytes:
            if not idle:
                return False
            self._drop(idle.pop(0))
        return True

    def _drop(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)
        self._unverified.discard(key)
        del self._bytes[key]


_shared: dict[tuple[str, int], ShardCache] = {}
_users: Counter[tuple[str, int]] = Counter()
_shared_lock = threading.Lock()


@contextlib.contextmanager
def open_cache(folder: str, limit_bytes: int) -> Iterator[ShardCache]:
    """Open the cache of a folder; all users in this process share it and its limit.

    Args:
        folder: the folder; empty for a temporary one, which is removed with its last user.
        limit_bytes: size limit.
    """
    key = (folder, limit_bytes)
    with _shared_lock:
        if key not in _shared:
            place = Path(folder) if folder else Path(tempfile.mkdtemp(prefix="tilepipe-shards-"))
            _shared[key] = ShardCache(place, limit_bytes)
        cache = _shared[key]
        _users[key] += 1
    try:
        yield cache
    finally:
        with _shared_lock:
            _users[key] -= 1
            if not _users[key]:
                del _shared[key], _users[key]
                if not folder:
                    shutil.rmtree(cache.folder, ignore_errors=True)


def _is_whole(path: Path, shard: Shard) -> bool:
    try:
        check_shard(path, shard)
    except ArtifactError:
        return False
    return True
