import gzip
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.pack.conftest import random_pixels, write_picture
from tilepipe.components.shared.contracts.tile_table import ENCODED, RecordFeature
from tilepipe.components.shared.errors import SourceError, TileError
from tilepipe.components.shared.records.frames import frame
from tilepipe.components.shared.tiles.example_decoder import decode_image, decode_record
from tilepipe.components.shared.tiles.packed_records import read_packed_record
from tilepipe.components.shared.tiles.reader import Tile, content

tf = pytest.importorskip("tensorflow")


def record(**features):
    example = tf.train.Example()
    kinds = {bytes: "bytes_list", int: "int64_list", float: "float_list"}
    for name, values in features.items():
        getattr(example.features.feature[name], kinds[type(values[0])]).value.extend(values)
    return frame(example.SerializeToString())


def test_records_behind_an_empty_member(tmp_path):
    path = tmp_path / "x.tfrecord.gz"
    path.write_bytes(gzip.compress(b"one") + gzip.compress(b"") + gzip.compress(b"three"))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: read_packed_record(str(path), 3, 5), range(8)))
    assert found == [b"three"] * 8
    assert content(Tile("x", str(path), "a", 3, None, offset=0)) == b"one"


def test_a_damaged_file_is_an_error(tmp_path):
    path = tmp_path / "x.tfrecord.gz"
    path.write_bytes(gzip.compress(b"one" * 999)[:-12])
    with pytest.raises(SourceError, match="must be whole"):
        read_packed_record(str(path), 0, 3)


def test_lists_of_numbers():
    pixels = random_pixels(shape=(2, 3, 1))
    for dtype, kind in (("float32", float), ("uint16", int), ("int32", int)):
        feature = RecordFeature(name="B1", dtype=dtype, height=2, width=3)
        [picture] = decode_record(record(B1=[kind(value) for value in pixels.ravel()]), [feature])
        np.testing.assert_array_equal(picture.pixels, pixels)
        assert picture.pixels.dtype == ("uint16" if dtype == "uint16" else "float32")
    with pytest.raises(TileError, match="it is 2 integers, but 2x3 pixels have 6"):
        decode_record(record(B1=[1, 2]), [feature])
    narrow = RecordFeature(name="B1", dtype="uint8", height=1, width=2)
    with pytest.raises(TileError, match="holds numbers that uint8 cannot represent"):
        decode_record(record(B1=[1, 256]), [narrow])


def test_images_with_all_bands(tmp_path):
    pixels = random_pixels(1, (9, 7, 3), "uint8", 255)
    encoded = RecordFeature(name="image", dtype=ENCODED, height=0, width=0)
    data = write_picture(tmp_path / "x.png", pixels).read_bytes()
    np.testing.assert_array_equal(decode_image(record(image=[data]), encoded).pixels, pixels)
    raw = RecordFeature(name="image", dtype="uint8", height=9, width=7, bands=3)
    np.testing.assert_array_equal(decode_image(record(image=[pixels.tobytes()]), raw).pixels, pixels)
    with pytest.raises(TileError, match="9x7 pixels of 3 bands, where"):
        decode_image(record(image=[data]), encoded, (8, 8, 3))
    with pytest.raises(TileError, match="feature image is not an image: it is missing"):
        decode_image(record(other=[data]), encoded)
