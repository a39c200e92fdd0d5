"""Fast reader for plain GeoTIFFs, which are uncompressed and contiguous.

Most small tiles are such files. A general reader spends 0.1 ms on their tags, more than all other packing work on
them. Files that are not plain, or are damaged, are left to the general reader and its error messages.

Format: https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf, pages 13 to 41.
"""

import math
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 256, 257, 258, 259, 262
_EXTRA_SAMPLES, _FILL_ORDER, _OFFSETS, _SAMPLES, _BYTE_COUNTS, _PLANAR, _PREDICTOR, _FORMAT = (
    338,
    266,
    273,
    277,
    279,
    284,
    317,
    339,
)
_GDAL_METADATA, _GDAL_NODATA = 42112, 42113
_NUMBERS, _TEXTS = (_OFFSETS, _BYTE_COUNTS, _BITS, _FORMAT, _EXTRA_SAMPLES), (_GDAL_METADATA, _GDAL_NODATA)
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

    Args:
        data: the content of the file.

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
    (next_directory,) = struct.unpack_from(order + "I", data, start + 2 + 12 * entries)
    if next_directory:  # a mask, an overview or another image, which the general reader has to judge
        raise ValueError(next_directory)
    found: dict[int, int] = dict(_DEFAULTS)
    lists: dict[int, tuple[int, ...]] = {_FORMAT: (1,)}
    texts: dict[int, str] = {}
    directory = struct.unpack_from(order + "HHI4s" * entries, data, start + 2)
    for tag, kind, count, inline in zip(*(directory[part::4] for part in range(4)), strict=True):
        if tag in _NUMBERS:
            lists[tag] = _numbers(data, order, kind, count, inline)
        elif tag in _TEXTS:
            texts[tag] = _text(data, order, kind, count, inline)
        elif count == 1 and kind in {_SHORT, _LONG}:
            found[tag] = struct.unpack_from(order + ("H" if kind == _SHORT else "I"), inline)[0]
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
    if min(shape) < 1 or end > len(data) or end - start != math.prod(shape) * dtype.itemsize:
        raise ValueError(shape)
    is_planar = found[_PLANAR] == 2 and shape[2] > 1
    metadata = texts.get(_GDAL_METADATA, "")
    has_alpha = lists.get(_EXTRA_SAMPLES, (0,))[-1] in ALPHA_KINDS
    return PlainTiff(shape, dtype, is_planar, start, metadata, texts.get(_GDAL_NODATA), has_alpha)


def _numbers(data: bytes, order: str, kind: int, count: int, inline: bytes) -> tuple[int, ...]:
    code, size = {_SHORT: ("H", 2), _LONG: ("I", 4)}[kind]
    if not 1 <= count <= _MOST_VALUES:
        raise ValueError(count)
    if count * size <= 4:
        return struct.unpack_from(f"{order}{count}{code}", inline)
    return struct.unpack_from(f"{order}{count}{code}", data, struct.unpack(order + "I", inline)[0])


def _text(data: bytes, order: str, kind: int, count: int, inline: bytes) -> str:
    if kind != _ASCII:
        raise KeyError(kind)
    start = struct.unpack(order + "I", inline)[0]
    raw = inline[:count] if count <= 4 else data[start : start + count]
    if len(raw) != count:
        raise IndexError(count)
    return raw.rstrip(b"\0").decode()
