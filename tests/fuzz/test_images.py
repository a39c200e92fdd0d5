"""Image files from anybody: a picture, or the reason why there is none; never another error, and little memory."""

import io
import struct
import tracemalloc
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.support.hostile import check_refused_or_read, damaged
from tilepipe.components.shared.errors import TileError
from tilepipe.components.shared.storage.sizes import MAX_BYTES
from tilepipe.components.shared.tiles.decode import decode

MEBIBYTE = 2**20
PIXELS = np.random.default_rng(0).integers(0, 3000, (16, 16, 3), dtype=np.uint16)
BYTES = (PIXELS >> 4).astype(np.uint8)
GDAL = '<GDALMetadata><Item name="DESCRIPTION" sample="0" role="description">B1</Item></GDALMetadata>'
TAGS = [(42112, "s", 0, GDAL, True), (42113, "s", 0, "0", True)]


def tiff(pixels, **settings):
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, metadata=None, extratags=TAGS, **settings)
    return file.getvalue()


def picture(kind, mode):
    file = io.BytesIO()
    Image.fromarray(BYTES).convert(mode).save(file, kind)
    return file.getvalue()


def with_mask():
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(PIXELS, photometric="rgb", compression="deflate")
        writer.write(np.eye(16, dtype=bool), subfiletype=4, photometric=4)
    return file.getvalue()


FILES = {
    "plain": tiff(PIXELS, photometric="rgb"),
    "planar": tiff(np.moveaxis(PIXELS, -1, 0).copy(), photometric="rgb", planarconfig="separate"),
    "big": tiff(PIXELS, photometric="rgb", bigtiff=True, compression="deflate", predictor=True),
    "tiled": tiff(PIXELS, photometric="rgb", tile=(16, 16), compression="zstd"),
    "lerc": tiff(PIXELS, photometric="rgb", compression="lerc"),
    "jpeg in TIFF": tiff(BYTES, photometric="rgb", compression="jpeg"),
    "palette": tiff(
        BYTES[..., 0], photometric="palette", colormap=np.zeros((3, 256), np.uint16), compression="packbits"
    ),
    "mask": with_mask(),
    "JPEG": picture("JPEG", "RGB"),
    "PNG": picture("PNG", "RGBA"),
    "PNG palette": picture("PNG", "P"),
    "PNG 16": bytes(imagecodecs.png_encode(PIXELS)),
    "BMP": picture("BMP", "RGB"),
    "WebP": picture("WEBP", "RGB"),
}


@given(st.sampled_from(sorted(FILES)).flatmap(lambda name: damaged(FILES[name])))
def test_a_damaged_file_is_a_picture_or_a_reason(data):
    found = check_refused_or_read(lambda: decode(data))
    if found is not None:
        assert min(found.pixels.shape) >= 1
        assert found.pixels.nbytes <= MAX_BYTES


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_anywhere_is_a_picture_or_a_reason(name):
    whole = FILES[name]
    for length in range(0, len(whole), max(1, len(whole) // 60)):
        check_refused_or_read(lambda data=whole[:length]: decode(data))
    assert decode(whole).pixels.shape[:2] == (16, 16)


def raw_tiff(width, height, part, compression, extra=()):
    """Write a TIFF with one strip, whose header may claim anything."""
    tags = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, compression), (262, 3, 1), (273, 4, 0)]
    tags = sorted([*tags, (277, 3, 1), (278, 4, height), (279, 4, len(part)), *extra])
    start = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, start if tag == 273 else v) for tag, kind, v in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + part


LARGE = np.zeros((3000, 3000), np.uint8)
INSIDE = {
    "JPEG": (7, imagecodecs.jpeg_encode),
    "PNG": (34933, imagecodecs.png_encode),
    "WebP": (50001, lambda a: imagecodecs.webp_encode(np.stack([a[:2000, :2000]] * 3, -1), lossless=True, method=0)),
    "lossy WebP": (50001, lambda a: imagecodecs.webp_encode(np.stack([a[:2000, :2000]] * 3, -1), method=0)),
    "LERC": (34887, imagecodecs.lerc_encode),
    "JPEG 2000": (34712, lambda a: imagecodecs.jpeg2k_encode(a[:1000, :1000], level=0)),
    "JPEG XL": (50002, lambda a: imagecodecs.jpegxl_encode(a, effort=1)),
}


@pytest.mark.parametrize("kind", INSIDE)
def test_an_image_inside_a_tiff_claims_no_more_than_the_tiff(kind):
    compression, encode = INSIDE[kind]
    with pytest.raises(TileError, match=r"a part of 64x64 pixels holds an image that claims \d000x\d000"):
        decode(raw_tiff(64, 64, bytes(encode(LARGE)), compression))


@pytest.mark.parametrize(
    ("name", "data"),
    {
        "deflate": raw_tiff(64, 64, zlib.compress(bytes(64 * MEBIBYTE)), 8),
        "size": raw_tiff(2**31 - 1, 2**31 - 1, b"x", 1),
        "tiles": raw_tiff(16000, 16000, bytes(64), 8, [(322, 4, 1), (323, 4, 1), (324, 4, 8), (325, 4, 20)]),
    }.items(),
)
def test_bombs_take_no_memory(name, data):
    tracemalloc.start()
    try:
        with pytest.raises(TileError):
            decode(data)
        assert tracemalloc.get_traced_memory()[1] < 8 * MEBIBYTE, name
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_absurd_dimensions_name_the_option_that_allows_them(kind):
    file = io.BytesIO()
    Image.new("1" if kind == "PNG" else "L", (18000, 18000) if kind == "PNG" else (1, 1)).save(file, kind)
    data = bytearray(file.getvalue())
    if kind == "BMP":
        data[18:26] = struct.pack("<ii", 18000, 18000)
    with pytest.raises(TileError, match=r'309 MiB, where a tile may have 256; .*"max_tile_mebibytes": 309'):
        decode(bytes(data))
