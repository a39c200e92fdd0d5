"""Records in compressed TFRecord files, such as those of Earth Engine, and files in compressed tars.

The offsets in a tile table are those of the decompressed file. gzip cannot be read from the middle, so each file is
decompressed once into a temporary folder, which is removed when the process ends.
"""

import tempfile
import threading
from collections import defaultdict
from pathlib import Path

from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.storage import storage
from tilepipe.components.shared.storage.tar_members import (
    DAMAGED,
    PACKED_SUFFIXES,
    check_decompressed,
    decompressed,
    largest_size,
)

_BLOCK_BYTES = 2**20


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
        with storage.staged(uri) as local, local.open("rb") as packed, path.open("wb") as target:
            most, size = largest_size(local.stat().st_size), 0
            source = decompressed(packed)
            while block := source.read(_BLOCK_BYTES):
                size += len(block)
                check_decompressed(size, most, storage.shown(uri))
                target.write(block)
        return path


_files = _DecompressedFiles()


def is_packed(uri: str) -> bool:
    """Check whether a file is compressed, which its name states."""
    return storage.path_of(uri).lower().endswith(PACKED_SUFFIXES)


def read_packed_record(uri: str, offset: int, length: int) -> bytes:
    """Read one framed record of a compressed TFRecord file, or one file of a compressed tar.

    Args:
        uri: the file.
        offset: offset of the record in the decompressed file, in bytes.
        length: length of the framed record in bytes.

    Returns:
        The framed record; shorter if the file ends within it.

    Raises:
        SourceError: if there is no such file, or if it is damaged.
        StorageError: if the disk or the bucket cannot be read.
    """
    try:
        path = _files.path(uri)
    except DAMAGED as error:
        raise SourceError(
            f"A compressed file must be whole. Received: {storage.shown(uri)}: {error}. Copy it again."
        ) from None
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(length)
