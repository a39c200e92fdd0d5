import io
import struct

import numpy as np
import pytest
import tifffile

from tests.pack.conftest import random_pixels, write_geotiff
from tilepipe.components.shared.errors import TileError
from tilepipe.components.shared.tiles import decode as module
from tilepipe.components.shared.tiles.decode import decode
from tilepipe.components.shared.tiles.tiff.plain_tiff import read_plain_tiff


@pytest.mark.parametrize(
    "profile", [{}, {"interleave": "band"}, {"interleave": "pixel"}, {"ENDIANNESS": "BIG"}], ids=str
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("bands", [1, 2, 3, 13])
def test_plain_files_are_read_as_tifffile_reads_them(tmp_path, monkeypatch, profile, dtype, bands):
    pixels = random_pixels(1, (20, 24, bands), dtype, high=200)
    names = [f"größe {band}" for band in range(bands)]
    data = write_geotiff(tmp_path / "x.tif", pixels, names, nodata=7, **profile).read_bytes()
    assert read_plain_tiff(data) is not None
    ours = decode(data, pixels.shape)
    monkeypatch.setattr(module, "read_plain_tiff", lambda _: None)
    theirs = decode(data, pixels.shape)
    np.testing.assert_array_equal(ours.pixels, pixels)
    np.testing.assert_array_equal(theirs.pixels, pixels)
    assert (ours.pixels.dtype, ours.descriptions, ours.nodata) == (theirs.pixels.dtype, tuple(names), 7)
    assert (theirs.descriptions, theirs.nodata) == (ours.descriptions, 7)


@pytest.mark.parametrize(
    "profile",
    [
        {"compress": "lzw"},
        {"compress": "deflate", "predictor": 2},
        {"tiled": True, "blockxsize": 16, "blockysize": 16},
        {"BIGTIFF": "YES"},
        {"dtype": "uint32"},
        {"dtype": "float64"},
        {"photometric": "MINISWHITE"},
    ],
    ids=str,
)
def test_the_rest_is_left_to_tifffile(tmp_path, profile):
    pixels = random_pixels(shape=(20, 24, 1), dtype=profile.get("dtype", "uint16"))
    assert read_plain_tiff(write_geotiff(tmp_path / "x.tif", pixels, **profile).read_bytes()) is None


def test_separate_strips_are_left_to_tifffile():
    pixels = random_pixels(1, (8, 8, 1))[..., 0]
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, rowsperstrip=4)
    data = bytearray(buffer.getvalue())
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        tag = tiff.pages.first.tags["StripOffsets"]
        first, second = tag.value
    assert read_plain_tiff(bytes(data)) is not None
    struct.pack_into("<II", data, tag.valueoffset, second, first)
    assert read_plain_tiff(bytes(data)) is None
    np.testing.assert_array_equal(decode(bytes(data)).pixels[..., 0], np.roll(pixels, 4, axis=0))


@pytest.mark.parametrize("share", [0, 0.001, 0.01, 0.1, 0.5, 0.999])
def test_what_is_cut_off_is_left_to_tifffile(tmp_path, share):
    pixels = random_pixels(1, (20, 24, 5))
    data = write_geotiff(tmp_path / "x.tif", pixels).read_bytes()
    assert read_plain_tiff(data[: int(len(data) * share)]) is None


@pytest.mark.parametrize("seed", range(20))
def test_damaged_headers_give_pixels_within_the_file_or_a_reason(tmp_path, seed):
    data = bytearray(write_geotiff(tmp_path / "x.tif", random_pixels(1, (8, 8, 3)), ["a", "b", "c"]).read_bytes())
    rng = np.random.default_rng(seed)
    for _ in range(100):
        damaged = bytearray(data)
        for place in rng.integers(0, 400, 3):
            damaged[place] = rng.integers(0, 256)
        try:
            assert decode(bytes(damaged)).pixels.ndim == 3
        except TileError as error:
            assert str(error)


def test_a_directory_without_end_is_no_plain_file():
    assert read_plain_tiff(b"II*\0" + struct.pack("<IH", 8, 65535) + bytes(800_000)) is None
