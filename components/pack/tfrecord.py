"""TFRecord files and `tf.train.Example` without TensorFlow: a few bytes around the pixels.

Format: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details and
https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/example/example.proto. The features come in the
order of their names, so that the same tile gives the same bytes.
"""

import struct

import google_crc32c

_MASK_DELTA = 0xA282EAD8


def frame(payload: bytes) -> bytes:
    """One record: length, its checksum, the payload, its checksum."""
    length = struct.pack("<Q", len(payload))
    return b"".join((length, _masked_crc(length), payload, _masked_crc(payload)))


def encode_example(image: bytes, label: int, tile_id: str) -> bytes:
    """A serialised `tf.train.Example` with the features `image`, `label` and `tile_id`.

    Args:
        image: raw pixels.
        label: index of the class.
        tile_id: the tile's id.

    Returns:
        The message.
    """
    features = (
        _feature(b"image", _field(1, _field(1, image)))
        + _feature(b"label", _field(3, _field(1, _varint(label))))
        + _feature(b"tile_id", _field(1, _field(1, tile_id.encode())))
    )
    return _field(1, features)


def _feature(name: bytes, value: bytes) -> bytes:
    """An entry of the map `feature`: key is field 1, value is field 2."""
    return _field(1, _field(1, name) + _field(2, value))


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field (wire type 2)."""
    return b"".join((bytes((number << 3 | 2,)), _varint(len(content)), content))


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _masked_crc(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF)
