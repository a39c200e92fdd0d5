from collections import Counter

import numpy as np
import pytest

from tilepipe.components.shared.contracts.tile_table import RecordFeature
from tilepipe.components.shared.errors import TileError
from tilepipe.components.shared.records.example import parse_example
from tilepipe.components.shared.records.frames import FRAMING_BYTES, frame, iter_frames
from tilepipe.components.shared.tiles.bands.order import BandOrder
from tilepipe.components.shared.tiles.example_decoder import decode_record
from tilepipe.components.shared.tiles.reader import Layout, Record, Tile, read_records

tf = pytest.importorskip("tensorflow")


def feature(name, dtype="uint8", height=3, width=4):
    return RecordFeature(name=name, dtype=dtype, height=height, width=width)


def record(**features):
    """Encode a framed record with TensorFlow."""
    example = tf.train.Example()
    for name, values in features.items():
        kinds = {bytes: "bytes_list", int: "int64_list", float: "float_list"}
        kind = kinds[type(values[0])] if values else "bytes_list"
        getattr(example.features.feature[name], kind).value.extend(values)
    return frame(example.SerializeToString())


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_bands_come_in_the_order_that_is_asked(dtype):
    pixels = np.arange(24).reshape(2, 3, 4).astype(dtype)
    framed = record(B1=[pixels[0].tobytes()], B2=[pixels[1].tobytes()], label=[3], cloud=[0.5], name=[b"x"])
    second, first = decode_record(framed, [feature("B2", dtype), feature("B1", dtype)])
    np.testing.assert_array_equal(np.concatenate([first.pixels, second.pixels], -1), np.moveaxis(pixels, 0, -1))
    assert (first.pixels.dtype, first.nodata) == (np.dtype(dtype), None)


@pytest.mark.parametrize(
    ("given", "asked", "reason"),
    [
        ({"B2": [bytes(12)]}, feature("B1"), "its feature B1 is not an image: it is missing"),
        ({"B1": []}, feature("B1"), "its feature B1 is not an image: it is empty"),
        ({"B1": [1, 2]}, feature("B1"), "its feature B1 is not an image: it is 2 integers"),
        ({"B1": [0.5]}, feature("B1"), "its feature B1 is not an image: it is 1 float"),
        ({"B1": [bytes(12), bytes(12)]}, feature("B1"), "its feature B1 is not an image: it is 2 byte strings"),
        ({"B1": [bytes(11)]}, feature("B1"), "has 11 bytes, but 3x4 pixels of uint8 have 12"),
        ({"B1": [bytes(12)]}, feature("B1", "uint16"), "has 12 bytes, but 3x4 pixels of uint16 have 24"),
        ({"B1": [bytes(12)]}, feature("B1", "int64"), "its feature B1 is int64, which is none of"),
    ],
)
def test_what_is_no_band(given, asked, reason):
    with pytest.raises(TileError, match=reason):
        decode_record(record(**given), [asked])


def test_any_byte_that_is_changed_is_noticed():
    framed = record(B1=[bytes(range(12))])
    for place in range(len(framed)):
        damaged = bytearray(framed)
        damaged[place] ^= 4
        with pytest.raises(TileError, match=r"it does not decode: .*checksum|it does not decode: .*states"):
            decode_record(bytes(damaged), [feature("B1")])
    for size in (0, 5, 12, len(framed) - 1):
        with pytest.raises(TileError, match="it does not decode"):
            decode_record(framed[:size], [feature("B1")])
    with pytest.raises(TileError, match="it does not decode"):
        decode_record(frame(b"\x0a\xff\xff\xff\xff\x0f"), [feature("B1")])


def test_droughtwatch(real_data):
    """Of all records of the real file, two are blank, and the others are equal to what TensorFlow reads."""
    path = real_data("droughtwatch/part-r-00012")
    names = [f"B{band}" for band in range(1, 12)]
    features = tuple(feature(name, "uint8", 65, 65) for name in names)
    layout = Layout((65, 65, 11), "uint8", BandOrder(tuple(names), "metadata"), tuple(range(11)), features)
    theirs = [bytes(each.numpy()) for each in tf.data.TFRecordDataset(str(path))]
    found = Counter()
    for (offset, payload), their in zip(iter_frames([path.read_bytes()]), theirs, strict=True):
        tile = Tile(f"{offset}", str(path), "a", len(payload) + FRAMING_BYTES, None, offset=offset)
        [result] = read_records([tile], layout=layout, labels={"a": 0})
        if not isinstance(result, Record):
            found[result.reason] += 1
            continue
        found["packed"] += 1
        example = tf.train.Example.FromString(their).features.feature
        bands = [np.frombuffer(example[name].bytes_list.value[0], np.uint8) for name in names]
        image = parse_example(b"".join(result.framed)[12:-4])["image"][0]
        assert image == np.stack(bands, axis=-1).tobytes()
    assert found["packed"] == 79
    assert sum(count for reason, count in found.items() if reason.startswith("it is blank")) == 2
