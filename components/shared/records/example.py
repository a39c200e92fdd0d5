"""Encoding and decoding of `tf.train.Example` without TensorFlow and without copying the pixels.

Format: https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/example/feature.proto.
Input is not trusted: every length is checked against the available bytes before it is used, and invalid data raises a
`ValueError`.
"""

import functools
import struct
from collections.abc import Iterator

from tilepipe.components.shared.records.frames import Buffer, frame_parts

Values = list[bytes] | list[int] | list[float]
"""The values of a feature; an empty list if it has none."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZES = {_FIXED64: 8, _FIXED32: 4}


def frame_example(image: Buffer, label: int, tile_id: str) -> tuple[Buffer, ...]:
    """Encode a tile as a framed `tf.train.Example` with the features `image`, `label` and `tile_id`.

    The features are written in the order of their names, so the same tile always produces the same bytes.

    Returns:
        The framed record in consecutive parts; `image` is one of them and is not copied.
    """
    after = _label(label) + _feature(b"tile_id", _field(1, _field(1, tile_id.encode())))
    before = _before(len(image))
    return frame_parts(_head(1, len(before) + len(image) + len(after)), before, image, after)


@functools.lru_cache(maxsize=64)
def _before(size: int) -> bytes:
    """Encode the part of the map before the pixels; cached, since it depends only on their size."""
    before = b""
    for number, key in ((1, b""), (1, b""), (2, _field(1, b"image")), (1, b"")):
        before = key + _head(number, size + len(before)) + before
    return before


@functools.lru_cache(maxsize=1024)
def _label(label: int) -> bytes:
    return _feature(b"label", _field(3, _field(1, _varint(label))))


def _feature(name: bytes, value: bytes) -> bytes:
    """Encode an entry of the map `feature`: the key is field 1, the value field 2."""
    return _field(1, _field(1, name) + _field(2, value))


def _field(number: int, content: bytes) -> bytes:
    """Encode a length-delimited field (wire type 2)."""
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


def parse_example(payload: bytes | memoryview) -> dict[str, Values]:
    """Decode a serialized `tf.train.Example`.

    Returns:
        The values of each feature by name: bytes, integers (signed, 64 bits) or floats (32 bits).

    Raises:
        ValueError: if the message is invalid.
    """
    return {name: values(feature) for name, feature in features(payload).items()}


def features(payload: bytes | memoryview) -> dict[str, memoryview]:
    """Find the features of a serialized `tf.train.Example` without decoding or copying them.

    Returns:
        A view of each feature by name, to be read with `values` or `only_bytes`.

    Raises:
        ValueError: if the message is invalid.
    """
    found: dict[str, memoryview] = {}
    for number, content in _fields(memoryview(payload)):
        if number != 1 or isinstance(content, int):
            continue
        for inner, entry in _fields(content):
            if inner == 1 and not isinstance(entry, int):
                name, feature = _entry(entry)
                found[name] = feature
    return found


def only_bytes(feature: memoryview) -> memoryview:
    """Return the single bytes value of a feature, without copying it.

    Raises:
        ValueError: if the feature does not hold exactly one bytes value.
    """
    lists = [content for kind, content in _fields(feature) if kind == 1 and not isinstance(content, int)]
    found = [value for one in lists[-1:] for number, value in _fields(one) if number == 1]
    if len(found) != 1 or isinstance(found[0], int):
        raise ValueError(f"a feature holds {len(found)} values of bytes, not one")
    return found[0]


def values(feature: memoryview) -> Values:
    """Decode a feature: field 1 is a list of bytes, 2 of floats, 3 of integers; the last list present is used.

    Raises:
        ValueError: if the feature is invalid.
    """
    result: Values = list[bytes]()
    for kind, content in _fields(feature):
        if isinstance(content, int):
            continue
        if kind == 1:
            result = [bytes(value) for number, value in _fields(content) if number == 1 and not isinstance(value, int)]
        elif kind == 2:
            result = _floats(content)
        elif kind == 3:
            result = _integers(content)
    return result


def _entry(view: memoryview) -> tuple[str, memoryview]:
    """Decode an entry of the map `feature`: the key is field 1, the value field 2."""
    name, feature = "", view[:0]
    for number, content in _fields(view):
        if isinstance(content, int):
            continue
        if number == 1:
            name = str(content, "utf-8")
        elif number == 2:
            feature = content
    return name, feature


def _floats(view: memoryview) -> list[float]:
    """Decode floats, either packed into one field, as writers do, or one field per number; readers must accept both."""
    values: list[float] = []
    for number, content in _fields(view):
        if number == 1 and not isinstance(content, int):
            if len(content) % 4:
                raise ValueError(f"a list of floats has {len(content)} bytes, not a multiple of 4")
            values.extend(struct.unpack(f"<{len(content) // 4}f", content))
    return values


def _integers(view: memoryview) -> list[int]:
    values: list[int] = []
    for number, content in _fields(view):
        if number != 1:
            continue
        if isinstance(content, int):
            values.append(_signed(content))
            continue
        position = 0
        while position < len(content):
            value, position = _read_varint(content, position)
            values.append(_signed(value))
    return values


def _fields(view: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Iterate over the fields of a message: the field number, and its bytes or, for a varint, its value."""
    position, end = 0, len(view)
    while position < end:
        key, position = _read_varint(view, position)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise ValueError("a field has the number 0")
        if wire == _VARINT:
            value, position = _read_varint(view, position)
            yield number, value
            continue
        if wire == _BYTES:
            size, position = _read_varint(view, position)
        elif wire in _FIXED_SIZES:
            size = _FIXED_SIZES[wire]
        else:
            raise ValueError(f"a field has the wire type {wire}, which is not valid in an example")
        if size > end - position:
            raise ValueError(f"a field states {size} bytes, but {end - position} are left")
        yield number, view[position : position + size]
        position += size


def _read_varint(view: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(view) or shift > 63:
            raise ValueError("a number is cut off, or longer than 64 bits")
        byte = view[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, position
        shift += 7


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
