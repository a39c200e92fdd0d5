import functools

import numpy as np
import pytest

from tests.pack.conftest import random_pixels, write_geotiff, write_picture
from tilepipe.components.pack.band_order import BandOrder
from tilepipe.components.pack.tile_reader import Layout, Record, Rejected, Tile, fetch, read_record
from tilepipe.components.shared.errors import StorageError, TileError

LAYOUT = Layout((8, 8, 4), "uint16", BandOrder(("B02", "B03", "B04", "B08"), "files"), (2, 1, 0))
read = functools.partial(read_record, layout=LAYOUT, labels={"a": 0}, with_moments=True)


def tile(path, size=None, checksum=None):
    return Tile("x", str(path), "a", size, checksum)


def test_a_record_holds_the_bands_that_are_kept(tmp_path):
    pixels = random_pixels()
    record = read(tile(write_geotiff(tmp_path / "x.tif", pixels)))
    assert isinstance(record, Record)
    kept = np.ascontiguousarray(pixels[..., [2, 1, 0]])
    assert kept.tobytes() in record.framed
    np.testing.assert_allclose(record.moments.mean, kept.reshape(-1, 3).mean(0))
    assert LAYOUT.bands == ("B04", "B03", "B02")
    assert LAYOUT.tile_bytes == 8 * 8 * 3 * 2


def test_statistics_only_where_they_are_wanted(tmp_path):
    path = write_geotiff(tmp_path / "x.tif", random_pixels())
    assert read_record(tile(path), layout=LAYOUT, labels={"a": 0}, with_moments=False).moments is None


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path, "it is missing"),
        (lambda path: write_geotiff(path, random_pixels(shape=(9, 8, 4))), "it is 9x8 pixels of 4 bands, where the"),
        (lambda path: write_geotiff(path, random_pixels(shape=(8, 8, 3))), "it is 8x8 pixels of 3 bands, where"),
        (lambda path: write_geotiff(path, random_pixels(dtype="int16")), "its pixels are int16, where the tiles'"),
        (lambda path: write_geotiff(path, np.zeros((8, 8, 4), np.uint16)), "it is blank: all pixels are 0"),
        (lambda path: write_geotiff(path, np.full((8, 8, 4), 9, np.uint16), nodata=9), "it is blank: all pixels are 9"),
        (
            lambda path: write_geotiff(path, random_pixels(), ["B04", "B03", "B02", "B08"]),
            "its bands are B04, B03, B02, B08, where the tiles' are B02, B03, B04, B08",
        ),
    ],
)
def test_why_a_tile_is_left_out(tmp_path, make, reason):
    rejected = read(tile(make(tmp_path / "x.tif")))
    assert isinstance(rejected, Rejected)
    assert rejected.reason.startswith(reason)


def test_promises_of_the_source(tmp_path):
    path = write_geotiff(tmp_path / "x.tif", random_pixels())
    assert "where its source promises 5" in read(tile(path, size=5)).reason
    assert "sha256 checksum" in read(tile(path, checksum="1220" + "0" * 64)).reason
    assert read(tile(path, checksum="b220" + "0" * 64)).is_unverified


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_no_network_can_take(tmp_path, value):
    pixels = random_pixels(dtype="float32")
    pixels[0, 0, 0] = value
    with pytest.raises(TileError, match="no finite numbers"):
        fetch(tile(write_geotiff(tmp_path / "x.tif", pixels)))


def test_a_constant_that_is_not_nothing_is_a_tile(tmp_path):
    fetch(tile(write_picture(tmp_path / "x.png", np.full((8, 8, 3), 255, np.uint8))))


def test_the_user_knows_better_than_the_files(tmp_path):
    path = write_geotiff(tmp_path / "x.tif", random_pixels(), ["B04", "B03", "B02", "B08"])
    layout = Layout(LAYOUT.shape, "uint16", BandOrder(LAYOUT.order.names, "user"), LAYOUT.keep)
    assert isinstance(read_record(tile(path), layout=layout, labels={"a": 0}, with_moments=False), Record)


def test_a_disk_that_cannot_be_read_is_no_tiles_fault(tmp_path):
    with pytest.raises(StorageError, match="must be readable"):
        read(tile(tmp_path))
