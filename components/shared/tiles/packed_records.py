"""Records in TFRecord files that are compressed with gzip, such as those of Earth Engine.

The offsets in a tile table are those of the decompressed file. gzip cannot be read from the middle, so each file is
decompressed once into a temporary folder, which is removed when the process ends.
"""

import gzip
import shutil
import tempfile
import threading
import zlib
from collections import defaultdict
from pathlib import Path

from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.storage import storage

_GZIP = b"\x1f\x8b"


class _DecompressedFiles:
    """Decompressed copies of files, each made once for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._paths: dict[str, Path] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def path(self, uri: str) -> Path:
        with self._lock:
            lock = self._locks[uri]
        with lock:
            if uri not in self._paths:
                self._paths[uri] = self._decompress(uri)
            return self._paths[uri]

    def _decompress(self, uri: str) -> Path:
        with self._lock:
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="tilepipe-records-")
            path = Path(self._folder.name) / f"{len(self._locks)}-{len(self._paths)}-{hash(uri):x}"
        with storage.staged(uri) as local, local.open("rb") as start:
            is_packed = start.read(2) == _GZIP
            with gzip.open(local) if is_packed else local.open("rb") as source, path.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
        return path


_files = _DecompressedFiles()


def is_packed(uri: str) -> bool:
    """Check whether a TFRecord file is compressed, which its name states."""
    return storage.path_of(uri).lower().endswith(".gz")


def read_packed_record(uri: str, offset: int, length: int) -> bytes:
    """Read one framed record of a compressed TFRecord file.

    Args:
        uri: the file.
        offset: offset of the record in the decompressed file, in bytes.
        length: length of the framed record in bytes.

    Returns:
        The framed record.

    Raises:
        SourceError: if there is no such file, or if it is damaged.
        StorageError: if the disk or the bucket cannot be read.
    """
    try:
        path = _files.path(uri)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SourceError(
            f"A TFRecord file named .gz must be whole. Received: {storage.shown(uri)}: {error}. Copy it again."
        ) from None
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(length)
