"""Decoding of image files: GeoTIFF by tifffile if it is not plain, JPEG 2000 by OpenJPEG, other formats by Pillow."""

import functools
import io
import logging
import math
import re
import struct
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import Any

import numpy as np
import tifffile
from PIL import ExifTags, Image

from tilepipe.components.shared.errors import TileError
from tilepipe.components.shared.storage.sizes import MAX_BYTES, too_large
from tilepipe.components.shared.tiles.picture import Picture, Scaling
from tilepipe.components.shared.tiles.tiff.plain_tiff import ALPHA_KINDS, GDAL_METADATA, GDAL_NODATA, read_plain_tiff
from tilepipe.components.shared.tiles.tiff.tiff_pages import apply_palette, check_lerc, check_segments, read_mask

DTYPES = ("uint8", "uint16", "int16", "float32")
"""Dtypes that the manifest, and so every later step, supports."""
_NUMPY_DTYPES = frozenset(map(np.dtype, DTYPES))

_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_LIGHTNESS_AND_COLOR = {
    tifffile.PHOTOMETRIC.CIELAB,
    tifffile.PHOTOMETRIC.ICCLAB,
    tifffile.PHOTOMETRIC.ITULAB,
}
_JPEG_MAGIC = b"\xff\xd8\xff"
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_BMP_MAGIC = b"BM"
_CODESTREAM = b"\xff\x4f\xff\x51"
_JPEG2000_MAGIC = (b"\0\0\0\x0cjP  \r\n\x87\n", _CODESTREAM)
_WEBP_MAGIC = re.compile(rb"RIFF....WEBP", re.DOTALL)
_PNG_DEPTH_OFFSET = 24
_SHOWN = {"P": "RGB", "1": "L", "PA": "RGBA"}
"""Pillow's mode of the colors or greys for each mode of palette indexes or single bits."""
_ORIENTATIONS = {
    2: (False, 1, -1),
    3: (False, -1, -1),
    4: (False, -1, 1),
    5: (True, 1, 1),
    6: (True, 1, -1),
    7: (True, -1, -1),
    8: (True, -1, 1),
}
"""Orientation that Exif states, in which a camera held its sensor -> whether rows are columns, and the steps along the
rows and columns that turn the pixels upright."""

# The reason in the quarantine table repeats what tifffile logs about a damaged file; its log lines lack the file name.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)
# Pillow's own limit counts pixels, cannot be stated in bytes, and warns in the log before it refuses.
Image.MAX_IMAGE_PIXELS = None


Shape = tuple[int | None, int | None, int | None]
"""`(height, width, bands)`; None is any."""


def decode(data: bytes, expected_shape: Shape | None = None, max_bytes: int = MAX_BYTES) -> Picture:
    """Decode a file.

    The format is detected from the content, not from the file name.

    Args:
        data: the file.
        expected_shape: shape that the header must state, checked before any pixel is read. Defaults to None, any.
        max_bytes: largest size of the pixels, checked before memory is allocated. Defaults to `MAX_BYTES`.

    Returns:
        The pixels, in the file's own dtype.

    Raises:
        TileError: the file is damaged, of another shape, or of an unsupported kind; the message is only the reason.
    """
    try:
        plain = read_plain_tiff(data)
        if plain is not None:
            _check_shape(plain.shape, plain.dtype, expected_shape, max_bytes, has_alpha=plain.has_alpha)
            descriptions = _descriptions(plain.metadata, plain.shape[-1], plain.has_alpha) if plain.metadata else ()
            nodata = None if plain.nodata is None else stated_nodata(plain.nodata, plain.dtype)
            alpha = plain.has_alpha
            scaling = _scaling(plain.metadata) if plain.metadata else ()
            pixels = plain.pixels(data)
            picture = Picture(pixels, descriptions, nodata, None, alpha, alpha, scaling)
        elif data.startswith(_TIFF_MAGIC):
            picture = _decode_tiff(data, expected_shape, max_bytes)
        elif data.startswith(_JPEG2000_MAGIC):
            picture = _decode_jpeg2000(data, expected_shape, max_bytes)
        elif data.startswith((_JPEG_MAGIC, _PNG_MAGIC, _BMP_MAGIC)) or _WEBP_MAGIC.match(data):
            picture = _decode_picture(data, expected_shape, max_bytes)
        else:
            raise TileError("it is no GeoTIFF, JPEG, PNG, BMP, WebP or JPEG 2000" if data else "it is empty")
    except TileError:
        raise
    except Exception as error:  # for a damaged file the decoders raise any type, IndexError included
        raise TileError(f"it does not decode: {type(error).__name__}: {str(error)[:200]}") from error
    if picture.pixels.dtype not in _NUMPY_DTYPES:  # the name of a dtype costs as much as ten such comparisons
        from tilepipe.components.shared.tiles.narrow import narrowed

        return narrowed(picture)
    return picture


def _decode_tiff(data: bytes, expected_shape: Shape | None, max_bytes: int) -> Picture:
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        page = tiff.pages.first
        axes = page.axes
        if axes not in {"YX", "YXS", "SYX"}:
            raise TileError(f"it is a TIFF with the axes {axes}, not one image of height, width and bands")
        if page.photometric in _LIGHTNESS_AND_COLOR:
            raise TileError("it is a TIFF in CIELAB, whose channels are lightness and two colors, not red, green, blue")
        shape = page.shape if axes == "YXS" else (*page.shape, 1) if axes == "YX" else (*page.shape[1:], page.shape[0])
        is_palette = page.photometric == tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None
        if is_palette:
            shape = (*shape[:2], 3)
        has_alpha = not is_palette and bool(page.extrasamples) and int(page.extrasamples[-1]) in ALPHA_KINDS
        _check_shape(shape, page.dtype, expected_shape, max_bytes, has_alpha=has_alpha)
        ends = (offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True))
        if max(ends, default=0) > len(data):
            raise TileError(f"it is truncated: its pixels would end after its last byte, {len(data):,}")
        check_segments(page, data, max_bytes)
        mask = read_mask(tiff, data, max_bytes)
        check_lerc(page, data)
        pixels = page.asarray(maxworkers=1)
        tag = page.tags.get(GDAL_METADATA)
        descriptions = _descriptions(tag.value, shape[-1], has_alpha) if tag is not None else ()
        stated = page.tags.get(GDAL_NODATA)
        nodata = stated_nodata(str(stated.value), page.dtype) if stated is not None else None
        if is_palette:
            pixels, axes = apply_palette(page, pixels), "YXS"
    pixels = np.moveaxis(pixels, 0, -1) if axes == "SYX" else pixels.reshape(shape)
    return Picture(
        pixels.astype(pixels.dtype.newbyteorder("<"), copy=False),
        descriptions,
        nodata,
        None if mask is None else mask[..., np.newaxis],
        has_alpha,
        has_alpha,
        _scaling(tag.value) if tag is not None else (),
    )


@functools.lru_cache(maxsize=64)
def stated_nodata(stated: str, dtype: np.dtype[Any]) -> float | None:
    """Convert GDAL's text to a value of the dtype; None if pixels cannot have it, such as -9999 in a uint16 file."""
    try:
        number = float(stated.strip(" \0"))
    except ValueError:
        return None
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return float(dtype.type(number))  # as the pixels have it: float32 has no 0.1
    return number if number.is_integer() and np.iinfo(dtype).min <= number <= np.iinfo(dtype).max else None


@functools.lru_cache(maxsize=64)
def _descriptions(metadata: str, bands: int, has_alpha: bool = False) -> tuple[str, ...]:
    """Return GDAL's descriptions of all bands, or of all but alpha; cached, since files often have the same text."""
    described = _items(metadata, "description")
    found = {int(item.get("sample", -1)): (item.text or "").strip() for item in described}
    names = tuple(found.get(band, "") for band in range(bands))
    if has_alpha and not names[-1]:
        names = names[:-1]
    return names if all(names) and len(set(names)) == len(names) else ()


@functools.lru_cache(maxsize=64)
def _scaling(metadata: str) -> Scaling:
    found: dict[int, dict[str, float]] = {}
    for role, default in (("scale", 1.0), ("offset", 0.0)):
        for item in _items(metadata, role):
            try:
                number = float(item.text or default)
            except ValueError:
                continue
            found.setdefault(int(item.get("sample", -1)), {"scale": 1.0, "offset": 0.0})[role] = number
    pairs = ((band, one["scale"], one["offset"]) for band, one in sorted(found.items()))
    return tuple(each for each in pairs if each[1:] != (1, 0))


def _items(metadata: str, role: str) -> list[ET.Element]:
    """Return the items of GDAL's metadata with a role."""
    if role not in metadata or re.search(r"<!(DOCTYPE|ENTITY)", metadata):  # GDAL writes no such declarations
        return []
    try:
        items = ET.fromstring(metadata).iter("Item")  # noqa: S314 - without declarations nothing expands
    except ET.ParseError:
        return []
    return [item for item in items if item.get("role") == role]


def _decode_picture(data: bytes, expected_shape: Shape | None, max_bytes: int) -> Picture:
    with Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "BMP", "WEBP")) as file:
        image: Image.Image = file
        width, height = image.size
        deep = file.format == "PNG" and data[_PNG_DEPTH_OFFSET] == 16
        if file.format == "WEBP" and getattr(file, "n_frames", 1) > 1:
            raise TileError("it is an animated WebP, not one image")
        if image.mode == "CMYK":
            raise TileError("it is a CMYK JPEG, whose channels are inks, not bands")
        shown = _SHOWN.get(image.mode, image.mode)
        if "transparency" in image.info:  # of a palette, or one color
            shown = {"L": "LA", "I": "LA", "I;16": "LA", "RGB": "RGBA"}.get(shown, shown)
        has_alpha = shown in {"LA", "RGBA"}
        is_transposed, *steps = _ORIENTATIONS.get(_orientation(image), (False, 1, 1))
        bands = Image.getmodebands(shown)
        shape = (width, height, bands) if is_transposed else (height, width, bands)
        dtype = np.dtype(np.uint16 if deep else np.uint8)
        _check_shape(shape, dtype, expected_shape, max_bytes, has_alpha=has_alpha)
        if deep:  # Pillow would cut colors of 16 bits down to 8
            import imagecodecs

            image.load()  # checks every chunk's CRC, which imagecodecs does not report
            pixels = np.asarray(imagecodecs.png_decode(data))
        else:
            pixels = np.asarray(image if shown == image.mode else image.convert(shown))
        pixels = pixels.reshape(height, width, bands)
        if is_transposed:
            pixels = pixels.swapaxes(0, 1)
        return Picture(np.ascontiguousarray(pixels[:: steps[0], :: steps[1]]), has_alpha=has_alpha)


def _orientation(image: Image.Image) -> int:
    """Return the orientation that the header states; damaged Exif data state none, as for image viewers."""
    upright = 1
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, upright)) if "exif" in image.info else upright
    except (SyntaxError, struct.error):
        return upright


def _decode_jpeg2000(data: bytes, expected_shape: Shape | None, max_bytes: int) -> Picture:
    """Decode JPEG 2000, the format of Sentinel-2's products; the header is that of ITU-T T.800, A.5.1 and I.5.3."""
    import imagecodecs

    boxes, start = _jpeg2000_boxes(data)
    right, bottom, left, top = struct.unpack_from(">4I", data, start + 8)
    (bands,) = struct.unpack_from(">H", data, start + 40)
    kinds = set(struct.iter_unpack("3B", data[start + 42 : start + 42 + 3 * bands]))
    (depth, *steps), *others = kinds
    bits = (depth & 0x7F) + 1
    if others or steps != [1, 1] or bits > 16 or b"pclr" in boxes:
        raise TileError("it is a JPEG 2000 with a palette, subsampled or different channels, or more than 16 bits")
    dtype = np.dtype(f"{'i' if depth & 0x80 else 'u'}{1 if bits <= 8 else 2}")
    cdef = boxes.find(b"cdef")  # a channel of type 1 or 2 is opacity
    channels = struct.iter_unpack(">3H", boxes[cdef + 6 :][: 6 * bands]) if cdef >= 0 else ()
    has_alpha = any(kind in {1, 2} and channel == bands - 1 for channel, kind, _ in channels)
    shape = (bottom - top, right - left, bands)
    _check_shape(shape, dtype, expected_shape, max_bytes, has_alpha=has_alpha)
    pixels = np.asarray(imagecodecs.jpeg2k_decode(data)).reshape(shape).astype(dtype, copy=False)
    return Picture(pixels, has_alpha=has_alpha)


def _jpeg2000_boxes(data: bytes) -> tuple[bytes, int]:
    """Return the boxes before the codestream, and its offset."""
    if data.startswith(_CODESTREAM):
        return b"", 0
    place = 0
    while True:  # `struct` raises at the end of the file
        size, kind = struct.unpack_from(">I4s", data, place)
        header = 16 if size == 1 else 8
        if kind == b"jp2c":
            return data[:place], place + header
        size = struct.unpack_from(">Q", data, place + 8)[0] if size == 1 else size
        if size < header:
            raise TileError("it is a JPEG 2000 without a codestream")
        place += size


def _check_shape(
    shape: tuple[int, ...], dtype: np.dtype[Any], expected: Shape | None, max_bytes: int, *, has_alpha: bool = False
) -> None:
    if dtype is None or min(shape) < 1:
        raise TileError(f"it claims {size_text(shape)}{'' if dtype else ' of no known dtype'}")
    size = math.prod(shape) * dtype.itemsize
    if size > max_bytes:
        raise TileError(f"it claims {size_text(shape)}, which is {too_large(size, max_bytes)}")
    if expected is None or fits(shape, expected):
        return
    if not has_alpha or not fits((*shape[:2], shape[2] - 1), expected):
        raise TileError(f"it is {size_text(shape)}, where the tiles are {size_text(expected)}")


def fits(shape: tuple[int, ...], expected: Shape) -> bool:
    """Return whether a size is the expected one, in which None is any."""
    return all(want in {None, have} for want, have in zip(expected, shape, strict=True))


def size_text(shape: Sequence[int | None]) -> str:
    """Format a size, such as `64x64 pixels of 3 bands`."""
    height, width, bands = shape
    pixels = "pixels" if height is None else f"{height}x{width} pixels"
    if bands is None:
        return pixels
    return f"{pixels} of {bands} band{'s' if bands != 1 else ''}"
