"""Fast reader for plain GeoTIFFs, which are uncompressed and contiguous.

Most small tiles are such files. A general reader spends 0.1 ms on their tags, more than all other packing work on
them. Files that are not plain, or are damaged, are left to the general reader and its error messages.

Format: https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf, pages 13 to 41.
"""

import functools
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 256, 257, 258, 259, 262
_FILL_ORDER, _OFFSETS, _SAMPLES, _BYTE_COUNTS = 266, 273, 277, 279
_PLANAR, _PREDICTOR, _EXTRA_SAMPLES, _FORMAT = 284, 317, 338, 339
GDAL_METADATA, GDAL_NODATA = 42112, 42113
"""Tags of GDAL: https://gdal.org/en/stable/drivers/raster/gtiff.html#metadata."""
_NUMBERS, _TEXTS = (_OFFSETS, _BYTE_COUNTS, _BITS, _FORMAT, _EXTRA_SAMPLES), (GDAL_METADATA, GDAL_NODATA)
_DEFAULTS = {_SUBFILE: 0, _COMPRESSION: 1, _FILL_ORDER: 1, _SAMPLES: 1, _PLANAR: 1, _PREDICTOR: 1}
_PLAIN = {
    _SUBFILE: (0,),
    _COMPRESSION: (1,),
    _FILL_ORDER: (1,),
    _PREDICTOR: (1,),
    _PHOTOMETRIC: (1, 2),
    _PLANAR: (1, 2),
}
_DTYPES = {(1, 8): "u1", (1, 16): "u2", (2, 16): "i2", (3, 32): "f4"}
ALPHA_KINDS = (1, 2)
"""Values of ExtraSamples: associated and unassociated alpha (TIFF 6.0, page 31)."""
_ASCII, _SHORT, _LONG = 2, 3, 4
_MOST_ENTRIES = 64
_MOST_VALUES = 4096
_MOST_TEXT_BYTES = 64 * 1024
_NUMERIC = (_SHORT, _LONG)
_SIZES = {_ASCII: 1, _SHORT: 2, _LONG: 4}


@dataclass(frozen=True, slots=True)
class PlainTiff:
    """Position and layout of the pixels in a plain GeoTIFF."""

    shape: tuple[int, int, int]
    """`(height, width, bands)`."""
    dtype: np.dtype[Any]
    """Dtype of the pixels, in the byte order of the file."""
    is_planar: bool
    """True if the pixels are stored band by band, False if they are interleaved."""
    offset: int
    """Offset of the pixels in the file, in bytes."""
    metadata: str
    """GDAL metadata (XML), or empty."""
    nodata: str | None
    """GDAL nodata value, as written in the file; None if absent."""
    has_alpha: bool = False
    """True if the last band is marked as alpha."""

    def pixels(self, data: bytes) -> npt.NDArray[Any]:
        """Return the pixels as `(height, width, bands)`, little-endian and read-only, without a copy if possible."""
        height, width, bands = self.shape
        flat = np.frombuffer(data, self.dtype, height * width * bands, self.offset)
        stored = flat.astype(self.dtype.newbyteorder("<"), copy=False)
        return (
            np.moveaxis(stored.reshape(bands, height, width), 0, -1) if self.is_planar else stored.reshape(self.shape)
        )


def read_plain_tiff(data: bytes) -> PlainTiff | None:
    """Read the header of a plain GeoTIFF.

    Returns:
        The position and layout of the pixels; None if the file is damaged or is not a plain GeoTIFF.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        return None
    try:
        return _read(data, order)
    except (struct.error, LookupError, ValueError):  # truncated, lacks a required tag, or is not plain
        return None


def _read(data: bytes, order: str) -> PlainTiff:
    (start,) = struct.unpack_from(order + "I", data, 4)
    (entries,) = struct.unpack_from(order + "H", data, start)
    if entries > _MOST_ENTRIES:
        raise ValueError(entries)
    directory = data[start + 2 : start + 2 + 12 * entries + 4]
    plain = _parsed(order, directory, tuple([data[first:end] for first, end in _places(order, directory)]))
    if plain.offset + math.prod(plain.shape) * plain.dtype.itemsize > len(data):
        raise ValueError(plain.shape)
    return plain


@functools.lru_cache(maxsize=64)
def _places(order: str, directory: bytes) -> tuple[tuple[int, int], ...]:
    """Return where the values are that do not fit into a directory, in the order of its entries."""
    sizes = ((kind, count * _SIZES[kind], inline) for _, kind, count, inline in _entries(order, directory))
    ranges = ((struct.unpack(order + "I", inline)[0], size) for _, size, inline in sizes if size > 4)
    return tuple((first, first + size) for first, size in ranges)


# Tiles of one source usually differ in neither the directory nor these values, only in pixels and georeference.
@functools.lru_cache(maxsize=64)
def _parsed(order: str, directory: bytes, outside: tuple[bytes, ...]) -> PlainTiff:
    """Read a directory, given the values that do not fit into it."""
    if directory[-4:] != bytes(4):  # a mask, an overview or another image, which the general reader has to judge
        raise ValueError(directory[-4:])
    found: dict[int, int] = dict(_DEFAULTS)
    lists: dict[int, tuple[int, ...]] = {_FORMAT: (1,)}
    texts: dict[int, str] = {}
    values = iter(outside)
    for tag, kind, count, inline in _entries(order, directory):
        size = count * _SIZES[kind]
        raw = inline[:size] if size <= 4 else next(values)
        if len(raw) != size:
            raise IndexError(count)
        if tag in _TEXTS:
            texts[tag] = raw.rstrip(b"\0").decode()
        else:
            lists[tag] = struct.unpack(f"{order}{count}{'H' if kind == _SHORT else 'I'}", raw)
    found |= {tag: numbers[0] for tag, numbers in lists.items() if tag not in _NUMBERS}
    if any(found[tag] not in plain for tag, plain in _PLAIN.items()):
        raise ValueError(found)
    shape = found[_HEIGHT], found[_WIDTH], found[_SAMPLES]
    (bits,), (sample_format,) = set(lists[_BITS]), set(lists[_FORMAT])
    dtype = np.dtype(order + _DTYPES[sample_format, bits])
    start = end = lists[_OFFSETS][0]
    for offset, size in zip(lists[_OFFSETS], lists[_BYTE_COUNTS], strict=True):
        if offset != end:
            raise ValueError(offset)
        end += size
    if min(shape) < 1 or end - start != math.prod(shape) * dtype.itemsize:
        raise ValueError(shape)
    is_planar = found[_PLANAR] == 2 and shape[2] > 1
    metadata = texts.get(GDAL_METADATA, "")
    has_alpha = lists.get(_EXTRA_SAMPLES, (0,))[-1] in ALPHA_KINDS
    return PlainTiff(shape, dtype, is_planar, start, metadata, texts.get(GDAL_NODATA), has_alpha)


def _entries(order: str, directory: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield tag, type, count and inline value of the entries that matter; raise if one is of an unexpected kind."""
    for tag, kind, count, inline in struct.iter_unpack(order + "HHI4s", directory[:-4]):
        if tag in _TEXTS:
            if kind != _ASCII or count > _MOST_TEXT_BYTES:
                raise KeyError(kind)
            yield tag, kind, count, inline
        elif tag in _NUMBERS:
            if kind not in _NUMERIC or not 1 <= count <= _MOST_VALUES:
                raise ValueError(count)
            yield tag, kind, count, inline
        elif count == 1 and kind in _NUMERIC:
            yield tag, kind, count, inline
