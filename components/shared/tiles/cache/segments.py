"""Segments of the cache: files with the contents of many tiles, followed by an index.

    content | content | ... | index: one row per content | magic, number of rows, CRC-32C of the index

An incomplete segment is damaged, and its contents count as missing. The index is part of the file, so that neither
exists without the other.
"""

import struct
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import Future
from threading import Lock

import google_crc32c
import numpy as np
import numpy.typing as npt

from tilepipe.components.shared.storage.place import Place

SEGMENT_BYTES = 32 * 1024 * 1024
"""Size at which a segment is written: few objects, but little to hold in memory or to lose."""
SEGMENT_ENTRIES = 65_536
MAX_ENTRY_BYTES = 256 * 1024 * 1024

ROW = np.dtype([("high", "<u8"), ("low", "<u8"), ("offset", "<u4"), ("length", "<u4"), ("crc", "<u4")])
"""An index row: the two halves of the key, offset and length of the content, and its CRC-32C."""
Rows = npt.NDArray[np.void]

_TRAILER = struct.Struct("<8sII")
_MAGIC = b"TILEPKC1"
_TAIL_BYTES = 64 * 1024
_MAX_SEGMENT_BYTES = SEGMENT_BYTES + MAX_ENTRY_BYTES + SEGMENT_ENTRIES * ROW.itemsize + _TRAILER.size

_BLOCK_BYTES = 4 * 1024 * 1024
_HELD_BLOCKS = 16
_REMEMBERED_BLOCKS = 16
_SPARE_BLOCKS = 4

_Block = tuple[str, int]


def write_segment(place: Place, name: str, entries: Mapping[bytes, bytes]) -> Rows:
    """Write a segment.

    Args:
        place: the place to write to.
        name: name of the segment.
        entries: content of each 16-byte key; no content may be empty.

    Returns:
        The index, with one row per entry in the same order.

    Raises:
        StorageError: if the segment cannot be written.
    """
    rows = np.zeros(len(entries), ROW)
    offset = 0
    for row, (key, content) in zip(rows, entries.items(), strict=True):
        row["high"], row["low"] = halves(key)
        row["offset"], row["length"], row["crc"] = offset, len(content), google_crc32c.value(content)
        offset += len(content)
    index = rows.tobytes()
    place.write(name, [*entries.values(), index, _TRAILER.pack(_MAGIC, len(rows), google_crc32c.value(index))])
    return rows


def read_index(place: Place, name: str, size: int) -> Rows | None:
    """Read the index of a segment.

    Returns:
        One row per entry, or None if the segment is damaged.

    Raises:
        SourceError: if the segment no longer exists.
        StorageError: if the segment cannot be read.
    """
    if not _TRAILER.size < size <= _MAX_SEGMENT_BYTES:
        return None
    tail = place.read(name, max(0, size - _TAIL_BYTES), min(size, _TAIL_BYTES))
    if len(tail) != min(size, _TAIL_BYTES):
        return None
    magic, count, crc = _TRAILER.unpack(tail[-_TRAILER.size :])
    index_bytes = count * ROW.itemsize
    contents_bytes = size - _TRAILER.size - index_bytes
    if magic != _MAGIC or contents_bytes < 0:
        return None
    if index_bytes + _TRAILER.size > len(tail):
        tail = place.read(name, contents_bytes, index_bytes + _TRAILER.size)
    index = tail[-_TRAILER.size - index_bytes : -_TRAILER.size]
    if len(index) != index_bytes or google_crc32c.value(index) != crc:
        return None
    rows = np.frombuffer(index, ROW)
    ends = rows["offset"].astype(np.int64) + rows["length"]
    if (rows["length"] == 0).any() or (rows["length"] > MAX_ENTRY_BYTES).any() or (ends > contents_bytes).any():
        return None
    return rows


def halves(key: bytes) -> tuple[int, int]:
    """Split a 16-byte key into two integers."""
    return int.from_bytes(key[:8], "big"), int.from_bytes(key[8:], "big")


class BlockReader:
    """Reads contents, and whole blocks of adjacent contents if they are likely to be requested next.

    A resumed run requests tiles in the order in which they were written, so a few large reads are best. A run with
    another seed requests them in random order, and must not read megabytes for each. The first request in a block of
    4 MiB therefore reads only the requested bytes, and a second request soon after reads the whole block, as long as
    the blocks add up to little more than the requested bytes.

    Args:
        place: the place that holds the segments.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._lock = Lock()
        self._held: OrderedDict[_Block, Future[bytes]] = OrderedDict()
        self._remembered: OrderedDict[_Block, None] = OrderedDict()
        self._asked_bytes = self._block_bytes = 0

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Read a range of a segment in bytes; fewer if it is damaged.

        Raises:
            SourceError: if the segment no longer exists or is too short.
            StorageError: if the segment cannot be read.
        """
        numbers = range(offset // _BLOCK_BYTES, (offset + length - 1) // _BLOCK_BYTES + 1)
        if len(numbers) > 2 or not self._all_wanted([(name, number) for number in numbers], length):
            return self._place.read(name, offset, length)
        pieces = []
        for number in numbers:
            start = offset - number * _BLOCK_BYTES
            pieces.append(self._block((name, number))[max(0, start) : start + length])
        return b"".join(pieces)

    def _all_wanted(self, blocks: list[_Block], length: int) -> bool:
        """Check whether each block is in memory or was requested recently, and record this request."""
        with self._lock:
            self._asked_bytes += length
            is_cheap = self._block_bytes < self._asked_bytes + _SPARE_BLOCKS * _BLOCK_BYTES
            wanted = all(block in self._held or (is_cheap and block in self._remembered) for block in blocks)
            for block in blocks:
                self._remembered[block] = None
                self._remembered.move_to_end(block)
            while len(self._remembered) > _REMEMBERED_BLOCKS:
                self._remembered.popitem(last=False)
        return wanted

    def _block(self, block: _Block) -> bytes:
        with self._lock:
            future = self._held.get(block)
            is_mine = future is None
            if future is None:
                future = self._held[block] = Future()
                self._block_bytes += _BLOCK_BYTES
                while len(self._held) > _HELD_BLOCKS:
                    self._held.popitem(last=False)
            self._held.move_to_end(block)
        if is_mine:
            name, number = block
            try:
                future.set_result(self._place.read(name, number * _BLOCK_BYTES, _BLOCK_BYTES))
            except BaseException as error:
                with self._lock:
                    self._held.pop(block, None)
                future.set_exception(error)
        return future.result()
