"""Sizes that the images inside a TIFF claim in their own headers.

Strips and tiles of a TIFF may be JPEG, PNG, WebP, LERC, JPEG 2000 or JPEG XL streams. Their decoders allocate what the
stream claims, whatever the TIFF states: a few bytes may claim gigabytes. So the claim is read before decoding.
"""

import contextlib
import re
import struct
from collections.abc import Callable, Iterable

Size = tuple[int, int]
"""Height and width in pixels."""

_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of frame headers: https://www.w3.org/Graphics/JPEG/itu-t81.pdf, table B.1."""
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD9)})
_JXL_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_JXL_BITS = (9, 13, 18, 30)


def exceeds(compression: int, streams: Iterable[bytes], most_pixels: int) -> Size | None:
    """Return the first claimed size with more pixels than allowed; None if there is none.

    Args:
        compression: value of the TIFF tag Compression; one that is not an image format of its own claims nothing.
        streams: compressed strips or tiles.
        most_pixels: the allowed number of pixels.
    """
    if (read := _READERS.get(compression)) is None:
        return None
    for stream in streams:
        with contextlib.suppress(IndexError, struct.error):  # truncated: the decoder reports it
            size = read(stream)
            if size and size[0] * size[1] > most_pixels:
                return size
    return None


def _jpeg(stream: bytes) -> Size | None:
    place = 2
    while stream[place] == 0xFF:
        marker = stream[place + 1]
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", stream, place + 5)
            return height, width
        if marker == 0xFF:  # fill bytes
            place += 1
        elif marker in _JPEG_BARE:
            place += 2
        else:
            place += 2 + int(struct.unpack_from(">H", stream, place + 2)[0])
    return None


def _png(stream: bytes) -> Size:
    width, height = struct.unpack_from(">II", stream, 16)
    return height, width


def _webp(stream: bytes) -> Size | None:
    kind = stream[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(stream[start : start + 3], "little") + 1 for start in (24, 27))
        return height, width
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", stream, 21)
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", stream, 26)
        return height & 0x3FFF, width & 0x3FFF
    return None


def _lerc(stream: bytes) -> Size | None:
    if stream[:6] == b"Lerc2 ":  # https://github.com/Esri/lerc: version, checksum from version 3 on, rows, columns
        (version,) = struct.unpack_from("<i", stream, 6)
        rows, columns = struct.unpack_from("<II", stream, 14 if version >= 3 else 10)
        return rows, columns
    if stream[:10] == b"CntZImage ":
        rows, columns = struct.unpack_from("<II", stream, 18)
        return rows, columns
    return None


def _jpeg2000(stream: bytes) -> Size | None:
    start = stream.find(b"\xff\x4f\xff\x51")  # start of the codestream, followed by the marker of the size
    if start < 0:
        return None
    width, height = struct.unpack_from(">II", stream, start + 8)
    return height, width


def _jpegxl(stream: bytes) -> Size | None:
    start = 0
    if stream[:2] != b"\xff\x0a":  # within boxes
        box = re.search(rb"jxl[cp]", stream)
        start = stream.find(b"\xff\x0a", box.end()) if box else -1
    if start < 0:
        return None
    bits = int.from_bytes(stream[start + 2 : start + 14], "little")

    def take(count: int) -> int:
        nonlocal bits
        taken = bits & (1 << count) - 1
        bits >>= count
        return taken

    is_small = take(1)
    height = (take(5) + 1) * 8 if is_small else take(_JXL_BITS[take(2)]) + 1
    ratio = take(3)
    if ratio:
        over, under = _JXL_RATIOS[ratio - 1]
        return height, height * over // under
    return height, (take(5) + 1) * 8 if is_small else take(_JXL_BITS[take(2)]) + 1


_READERS: dict[int, Callable[[bytes], Size | None]] = {
    **dict.fromkeys((6, 7, 33007, 34892), _jpeg),
    **dict.fromkeys((34933,), _png),
    **dict.fromkeys((34927, 50001), _webp),
    **dict.fromkeys((34887,), _lerc),
    **dict.fromkeys((33003, 33004, 33005, 34712), _jpeg2000),
    **dict.fromkeys((50002, 52546), _jpegxl),
}
"""Value of the tag Compression -> reader; https://www.awaresystems.be/imaging/tiff/tifftags/compression.html."""
