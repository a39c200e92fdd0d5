"""Content of a TIFF beyond the first image's numbers: further pages, validity masks, palettes.

A reader that takes only the first page would treat masked pixels as measurements, palette indexes as intensities and
the other bands of a multi-page file as absent, all without an error.
"""

import math
import zlib
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import tifffile

from tilepipe.components.shared.errors import TileError
from tilepipe.components.shared.tiles.tiff.codestreams import exceeds

_REDUCED, _MASK = 1, 4
"""Bits of NewSubfileType: an overview or thumbnail, and a transparency mask (TIFF 6.0, page 36)."""
_LERC = 34887
_LERC_PARAMETERS = 50674
"""LERC's version and the compression around its blobs: 0 none, 1 deflate, 2 Zstandard."""


def read_mask(tiff: tifffile.TiffFile, data: bytes, max_bytes: int) -> npt.NDArray[np.bool_] | None:
    """Read the validity mask of the first page, as GDAL writes it beside the image.

    Returns:
        `(height, width)`, True where the pixel is valid; None if there is no mask or all pixels are valid.

    Raises:
        TileError: the file has further pages that are neither overviews nor masks.
    """
    first = tiff.pages.first
    mask = None
    for page in list(tiff.pages)[1:]:
        kind = int(page.subfiletype)
        if kind & _MASK:
            if not kind & _REDUCED and page.shape[:2] == (first.imagelength, first.imagewidth):
                check_segments(page, data, max_bytes)
                mask = page.asarray(maxworkers=1).astype(bool)
        elif not kind & _REDUCED and page.shape == first.shape:
            raise TileError(
                f"it is a TIFF of {len(tiff.pages)} pages, of which only the first would be read; write its bands "
                "into one page"
            )
    return None if mask is None or mask.all() else mask


def check_segments(page: tifffile.TiffPage, data: bytes, max_bytes: int) -> None:
    """Check the strips or tiles of a page before they are decoded.

    Raises:
        TileError: there are more or fewer of them than the size of the page needs, or one claims a larger size than a
            tile may have.
    """
    needed, stated = math.prod(page.chunked), len(page.dataoffsets)
    if needed != stated or stated != len(page.databytecounts):
        raise TileError(f"it is damaged: it has {stated:,} strips or tiles, where its size needs {needed:,}")
    rows, columns = page.chunks[-3:-1] if page.axes == "YXS" else page.chunks[-2:]
    # Streams may be padded to whole blocks of 16; more than twice the segment is another image.
    most = min(max_bytes, max(2 * rows * columns, 4096))
    streams = (data[start : start + size] for start, size in zip(page.dataoffsets, page.databytecounts, strict=True))
    size = exceeds(int(page.compression), streams, most)
    if size:
        raise TileError(
            f"it is damaged: a part of {rows}x{columns} pixels holds an image that claims {size[0]}x{size[1]}"
        )


def check_lerc(page: tifffile.TiffPage, data: bytes) -> None:
    """Check that no pixel is missing in a page compressed with LERC.

    tifffile drops the validity mask inside LERC blobs: missing pixels become 0.0, and in pixel-interleaved files other
    pixels change as well (tifffile 2026.3.3 to 2026.11.8).

    Raises:
        TileError: the page has missing pixels.
    """
    if int(page.compression) != _LERC:
        return
    import imagecodecs

    tag = page.tags.get(_LERC_PARAMETERS)
    around = int(tag.value[1]) if tag is not None else 0
    decompressors: dict[int, Callable[[bytes], bytes | bytearray]] = {
        0: bytes,
        1: zlib.decompress,
        2: imagecodecs.zstd_decode,
    }
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        if not count:
            continue
        _, valid = imagecodecs.lerc_decode(decompressors[around](data[offset : offset + count]), masks=True)
        if valid is not None and not np.all(valid):
            raise TileError(
                "it is compressed with LERC and has missing pixels, which are not read; rewrite it with "
                "`gdal_translate -co COMPRESS=DEFLATE`"
            )


def apply_palette(page: tifffile.TiffPage, pixels: npt.NDArray[np.integer]) -> npt.NDArray[np.uint8]:
    """Look up palette indexes, `(height, width)` or `(height, width, 1)`, in the 16-bit color map of a page.

    Returns:
        Red, green and blue, uint8, `(height, width, 3)`.
    """
    colors = (np.asarray(page.colormap) >> 8).astype(np.uint8)
    return np.moveaxis(colors[:, pixels.reshape(pixels.shape[:2])], 0, -1)
