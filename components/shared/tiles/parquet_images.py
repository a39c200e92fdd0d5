"""Encoded images in a column of Parquet files, as Hugging Face's `datasets` writes them.

Tiles are read in random order, but Parquet only by row groups, each of many images. So the images of a row group are
copied once to a temporary file, a few at a time; the file disappears when the process ends.
"""

import contextlib
import functools
import os
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tilepipe.components.shared.errors import SourceError, TileError, TilepipeError
from tilepipe.components.shared.storage import storage
from tilepipe.components.shared.storage.sizes import check_size
from tilepipe.components.shared.storage.tar_members import check_decompressed, largest_size, open_file

_AT_ONCE = 16
"""Images in memory at a time."""


def read_image(uri: str, column: str, row: int, max_bytes: int) -> bytes:
    """Read one encoded image of a Parquet file; safe to call from many threads.

    Args:
        uri: a normalized address.
        column: column of encoded images, or of structs with the field `bytes`.
        row: number of the row in the file, from 0.
        max_bytes: largest size of the image.

    Returns:
        The encoded image.

    Raises:
        SourceError: if there is no such file, column or row, or the file is damaged.
        StorageError: if the disk or the store cannot be read.
        TileError: if the row has no image, or the image is too large.
    """
    with _lock:  # the first of many threads opens the file
        images = _open(uri, column)
    return images.read(row, max_bytes)


class _Images:
    """The images in a column of a Parquet file."""

    def __init__(self, uri: str, column: str) -> None:
        self._uri, self._column, self._lock = uri, column, threading.Lock()
        self._copied: set[int] = set()
        self._size = storage.size(uri)
        self._copied_bytes = 0
        with self._opened(None) as file:
            self._metadata = file.metadata
            kind = file.schema_arrow.field(column).type
        self._field = "bytes" if pa.types.is_struct(kind) else None
        rows = [self._metadata.row_group(group).num_rows for group in range(self._metadata.num_row_groups)]
        self._ends = np.cumsum(rows, dtype=np.int64)
        self._places = np.zeros((sum(rows), 2), np.int64)
        """Offset and length of the copy of each image; the length is -1 where there is none."""

    def read(self, row: int, max_bytes: int) -> bytes:
        if not 0 <= row < len(self._places):
            raise SourceError(
                "A row must be within its Parquet file. Received: "
                f"row {row} of {storage.shown(self._uri)} with {len(self._places):,} rows. Read the source again."
            )
        group = int(np.searchsorted(self._ends, row, side="right"))
        with self._lock:
            if group not in self._copied:
                self._copy(group, max_bytes)
                self._copied.add(group)
        offset, length = self._places[row].tolist()
        if length < 0:
            raise TileError(f"it has no image in the column {self._column} of its Parquet file")
        check_size(length, max_bytes)
        return _copies().read(offset, length)

    def _copy(self, group: int, max_bytes: int) -> None:
        row = int(self._ends[group]) - self._metadata.row_group(group).num_rows
        name = f"{self._column}.{self._field}" if self._field else self._column
        with self._opened(self._metadata) as file:
            for batch in file.iter_batches(_AT_ONCE, row_groups=[group], columns=[name]):
                values: Any = batch.column(0)
                for value in values.field(self._field) if self._field else values:
                    content = value.as_py()
                    length = -1 if content is None else len(content)
                    offset = 0
                    if 0 < length <= max_bytes:  # the size of larger images suffices to refuse them
                        self._copied_bytes += length
                        check_decompressed(self._copied_bytes, largest_size(self._size), storage.shown(self._uri))
                        offset = _copies().append(content)
                    self._places[row] = offset, length
                    row += 1

    @contextlib.contextmanager
    def _opened(self, metadata: pq.FileMetaData | None) -> Iterator[pq.ParquetFile]:
        with _translate_errors(self._uri), open_file(self._uri) as file:
            yield pq.ParquetFile(file, metadata=metadata, buffer_size=1 << 20, pre_buffer=False)


@contextlib.contextmanager
def _translate_errors(uri: str) -> Iterator[None]:
    try:
        yield
    except TilepipeError:  # some are OSErrors
        raise
    except (pa.ArrowException, KeyError, OSError) as error:
        raise SourceError(
            f"A Parquet file must be whole. Received: {storage.shown(uri)}: {' '.join(str(error).split())[:200]}. Copy "
            "it again, and read the source again."
        ) from None


class _TemporaryFile:
    """Images one after the other; all methods are thread-safe."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="tilepipe-images-")  # noqa: SIM115 - open until the process ends
        self._lock = threading.Lock()
        self._end = 0

    def append(self, content: bytes) -> int:
        """Write an image, and return its offset."""
        with self._lock:
            self._file.seek(self._end)
            self._file.write(content)
            self._file.flush()
            offset, self._end = self._end, self._end + len(content)
        return offset

    def read(self, offset: int, length: int) -> bytes:
        return os.pread(self._file.fileno(), length, offset)


_lock = threading.Lock()
_open = functools.cache(_Images)
_copies = functools.cache(_TemporaryFile)
