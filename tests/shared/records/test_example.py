import struct

import pytest

from tilepipe.components.shared.records.example import features, only_bytes, parse_example


def test_an_example_as_tensorflow_writes_it():
    import tensorflow as tf

    def feature(**values):
        return tf.train.Feature(**values)

    example = tf.train.Example(
        features=tf.train.Features(
            feature={
                "bytes": feature(bytes_list=tf.train.BytesList(value=[b"a" * 300, b""])),
                "numbers": feature(int64_list=tf.train.Int64List(value=[0, -1, 2**63 - 1, -(2**63), 300])),
                "floats": feature(float_list=tf.train.FloatList(value=[0.5, -2.0])),
                "größe": feature(int64_list=tf.train.Int64List(value=[3])),
                "empty": feature(),
            }
        )
    )
    assert parse_example(example.SerializeToString()) == {
        "bytes": [b"a" * 300, b""],
        "numbers": [0, -1, 2**63 - 1, -(2**63), 300],
        "floats": [0.5, -2.0],
        "größe": [3],
        "empty": [],
    }


def test_numbers_that_are_not_packed():
    def field(number, content):
        return bytes((number << 3 | 2, len(content))) + content

    one_by_one = field(3, b"\x08\x05\x08\x06")
    floats = field(2, b"\x0d" + struct.pack("<f", 1.5))
    entries = [field(1, field(1, name) + field(2, value)) for name, value in ((b"n", one_by_one), (b"f", floats))]
    assert parse_example(field(1, b"".join(entries))) == {"n": [5, 6], "f": [1.5]}


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"\x0a\xff\xff\xff\xff\x0f", "states 4294967295 bytes, but 0 are left"),
        (b"\x0a", "number is cut off"),
        (b"\x0b", "wire type 3"),
        (b"\x02\x00", "number 0"),
        (b"\xff" * 12, "longer than 64 bits"),
        (b"\x0a\x05\x0a\x03\x0a\x01\xff", "can't decode byte"),
    ],
)
def test_what_is_no_example(payload, message):
    with pytest.raises(ValueError, match=message):
        parse_example(payload)


def test_bytes_can_be_had_where_they_lie():
    import tensorflow as tf

    values = {"one": [b"pixels"], "two": [b"a", b"b"]}
    feature = {name: tf.train.Feature(bytes_list=tf.train.BytesList(value=value)) for name, value in values.items()}
    payload = bytearray(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
    found = features(memoryview(payload))
    view = only_bytes(found["one"])
    payload[payload.index(b"pixels")] = ord("P")
    assert bytes(view) == b"Pixels"
    with pytest.raises(ValueError, match="2 values of bytes, not one"):
        only_bytes(found["two"])


def test_numbers_are_not_bytes():
    with pytest.raises(ValueError, match="0 values of bytes"):
        only_bytes(memoryview(b"\x1a\x02\x08\x05"))
