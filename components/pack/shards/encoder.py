"""TFRecord files and `tf.train.Example` without TensorFlow: a few bytes around the pixels.

Format: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details and
https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/example/example.proto. The features come in the
order of their names, so that the same tile gives the same bytes.
"""

import functools
import struct

from tilepipe.components.shared.records.frames import Buffer, masked_crc

_CHECKSUM = struct.Struct("<I").pack


def frame(*payload: Buffer) -> tuple[Buffer, ...]:
    """One record: length, its checksum, the payload, its checksum.

    Args:
        payload: its parts, in order.

    Returns:
        The record's parts, in order; none is copied.
    """
    length = struct.pack("<Q", sum(map(len, payload)))
    return length, _CHECKSUM(masked_crc(length)), *payload, _CHECKSUM(masked_crc(*payload))


def frame_example(image: Buffer, label: int, tile_id: str) -> tuple[Buffer, ...]:
    """A framed `tf.train.Example` with the features `image`, `label` and `tile_id`.

    Args:
        image: raw pixels.
        label: index of the class.
        tile_id: the tile's id.

    Returns:
        The record's parts, in order; the pixels are one of them, as they are.
    """
    after = _label(label) + _feature(b"tile_id", _field(1, _field(1, tile_id.encode())))
    before = _before(len(image))
    return frame(_head(1, len(before) + len(image) + len(after)), before, image, after)


@functools.lru_cache(maxsize=64)
def _before(size: int) -> bytes:
    """What stands before the pixels within the map; of tiles that are all alike it is always the same."""
    before = b""
    for number, key in ((1, b""), (1, b""), (2, _field(1, b"image")), (1, b"")):
        before = key + _head(number, size + len(before)) + before
    return before


@functools.lru_cache(maxsize=1024)
def _label(label: int) -> bytes:
    return _feature(b"label", _field(3, _field(1, _varint(label))))


def _feature(name: bytes, value: bytes) -> bytes:
    """An entry of the map `feature`: key is field 1, value is field 2."""
    return _field(1, _field(1, name) + _field(2, value))


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field (wire type 2)."""
    return _head(number, len(content)) + content


def _head(number: int, size: int) -> bytes:
    return bytes((number << 3 | 2,)) + _varint(size)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
