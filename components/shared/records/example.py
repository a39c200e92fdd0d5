"""Reading a `tf.train.Example` without TensorFlow, and, where asked to, without copying what it holds.

Format: https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/example/feature.proto. What is read may be
anybody's: every length is held against what is there before it is believed, and what does not fit is a `ValueError`.
"""

import struct
from collections.abc import Iterator

Values = list[bytes] | list[int] | list[float]
"""What a feature holds; an empty list where it states no values."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZES = {_FIXED64: 8, _FIXED32: 4}


def parse_example(payload: bytes | memoryview) -> dict[str, Values]:
    """The features of a serialised `tf.train.Example`.

    Args:
        payload: the message.

    Returns:
        What each feature holds, by name: bytes, whole numbers (signed, 64 bits) or floats (32 bits).

    Raises:
        ValueError: it is no such message.
    """
    return {name: values(feature) for name, feature in features(payload).items()}


def features(payload: bytes | memoryview) -> dict[str, memoryview]:
    """The features of a serialised `tf.train.Example`, as they lie in it.

    Args:
        payload: the message.

    Returns:
        Each feature by its name, for `values` or `only_bytes` to read; nothing is copied.

    Raises:
        ValueError: it is no such message.
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
    """The one value of a feature that holds bytes, not copied.

    Raises:
        ValueError: it holds something else, or more than that.
    """
    lists = [content for kind, content in _fields(feature) if kind == 1 and not isinstance(content, int)]
    found = [value for one in lists[-1:] for number, value in _fields(one) if number == 1]
    if len(found) != 1 or isinstance(found[0], int):
        raise ValueError(f"a feature holds {len(found)} values of bytes, not one")
    return found[0]


def values(feature: memoryview) -> Values:
    """What a feature holds: field 1 is a list of bytes, 2 of floats, 3 of whole numbers; the last one stated counts.

    Raises:
        ValueError: it is no feature.
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
            result = _whole_numbers(content)
    return result


def _entry(view: memoryview) -> tuple[str, memoryview]:
    """An entry of the map `feature`: the key is field 1, the value field 2."""
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
    """Packed into one field, as writers do, or one field a number: a reader must take both."""
    values: list[float] = []
    for number, content in _fields(view):
        if number == 1 and not isinstance(content, int):
            if len(content) % 4:
                raise ValueError(f"a list of floats has {len(content)} bytes, not a multiple of 4")
            values.extend(struct.unpack(f"<{len(content) // 4}f", content))
    return values


def _whole_numbers(view: memoryview) -> list[int]:
    values: list[int] = []
    for number, content in _fields(view):
        if number != 1:
            continue
        if isinstance(content, int):
            values.append(_signed(content))
            continue
        position = 0
        while position < len(content):
            value, position = _varint(content, position)
            values.append(_signed(value))
    return values


def _fields(view: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """The fields of a message: their numbers, and their bytes or, of a varint, its value."""
    position, end = 0, len(view)
    while position < end:
        key, position = _varint(view, position)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise ValueError("a field has the number 0")
        if wire == _VARINT:
            value, position = _varint(view, position)
            yield number, value
            continue
        if wire == _BYTES:
            size, position = _varint(view, position)
        elif wire in _FIXED_SIZES:
            size = _FIXED_SIZES[wire]
        else:
            raise ValueError(f"a field has the wire type {wire}, which no example has")
        if size > end - position:
            raise ValueError(f"a field states {size} bytes where {end - position} are left")
        yield number, view[position : position + size]
        position += size


def _varint(view: memoryview, position: int) -> tuple[int, int]:
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
