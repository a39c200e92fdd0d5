"""Reading TFRecord files and `tf.train.Example` without TensorFlow.

Format: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details and
https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/example/feature.proto. What is read may be
anybody's file: every length is held against what is there before it is believed, and what does not fit is a
`ValueError`.
"""

import struct
from collections.abc import Iterable, Iterator

import google_crc32c
import numpy as np
import numpy.typing as npt

Buffer = bytes | npt.NDArray[np.uint8]
"""Bytes, or an array of them, which is not copied."""

HEADER_BYTES = 12
"""The length (8) and its checksum (4), before the payload."""
FRAMING_BYTES = 16
"""What a framed record is longer than its payload: the header, and the payload's checksum."""
MAX_RECORD_BYTES = 1 << 30
"""More than any tile; a length above it is damage, not data to make room for."""

Values = list[bytes] | list[int] | list[float]
"""What a feature holds; an empty list where it states no values."""

_MASK_DELTA = 0xA282EAD8
_CHECKSUM = struct.Struct("<I").pack
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZES = {_FIXED64: 8, _FIXED32: 4}


def masked_crc(*parts: Buffer | memoryview) -> int:
    """TFRecord's checksum of bytes that follow each other: their CRC-32C, masked.

    Masked, since a CRC of bytes that hold a CRC says little.
    """
    crc = 0
    for part in parts:
        crc = google_crc32c.extend(crc, bytes(part) if isinstance(part, memoryview) else part)
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


def frame(payload: bytes) -> bytes:
    """One record: length, its checksum, the payload, its checksum."""
    length = struct.pack("<Q", len(payload))
    return b"".join((length, _CHECKSUM(masked_crc(length)), payload, _CHECKSUM(masked_crc(payload))))


def iter_frames(chunks: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Cut a TFRecord file into its records, holding one chunk and one record at a time.

    Args:
        chunks: the file's bytes in order, cut anywhere.

    Yields:
        Where the framed record starts, in bytes, and its payload; the framed record is `FRAMING_BYTES` longer.

    Raises:
        ValueError: the file is cut off within a record, or a checksum does not fit; with the record's offset.
    """
    source = iter(chunks)
    buffer, position, offset = b"", 0, 0
    while True:
        needed = HEADER_BYTES
        for known in (False, True):
            if known:
                needed += _stated_length(buffer, position, offset) + 4
            parts, held = [], len(buffer) - position
            while held < needed and (chunk := next(source, None)) is not None:
                parts.append(chunk)
                held += len(chunk)
            if parts:
                buffer, position = b"".join((buffer[position:], *parts)), 0
            if held == 0 and not known:
                return
            if held < needed:
                raise ValueError(f"the record at offset {offset} is cut off after {held} bytes of {needed} or more")
        yield offset, unframe(memoryview(buffer)[position : position + needed], offset)
        position += needed
        offset += needed


def unframe(framed: bytes | memoryview, offset: int = 0) -> bytes:
    """The payload of one framed record, both of its checksums verified.

    Args:
        framed: the record with its framing, and nothing else.
        offset: where it starts in its file, for the message.

    Returns:
        The payload.

    Raises:
        ValueError: it is not one whole record, or a checksum does not fit.
    """
    if len(framed) < FRAMING_BYTES:
        raise ValueError(f"the record at offset {offset} is cut off after {len(framed)} bytes")
    length = _stated_length(framed, 0, offset)
    if length + FRAMING_BYTES != len(framed):
        raise ValueError(
            f"the record at offset {offset} states {length} bytes, and {len(framed) - FRAMING_BYTES} are there"
        )
    payload = bytes(framed[HEADER_BYTES:-4])
    if masked_crc(payload) != struct.unpack("<I", framed[-4:])[0]:
        raise ValueError(f"the record at offset {offset} does not fit its checksum")
    return payload


def parse_example(payload: bytes | memoryview) -> dict[str, Values]:
    """The features of a serialised `tf.train.Example`.

    Args:
        payload: the message.

    Returns:
        What each feature holds, by name: bytes, whole numbers (signed, 64 bits) or floats (32 bits).

    Raises:
        ValueError: it is no such message.
    """
    features: dict[str, Values] = {}
    for number, content in _fields(memoryview(payload)):
        if number != 1 or isinstance(content, int):
            continue
        for inner, entry in _fields(content):
            if inner == 1 and not isinstance(entry, int):
                name, values = _entry(entry)
                features[name] = values
    return features


def _stated_length(buffer: bytes | memoryview, position: int, offset: int) -> int:
    header = buffer[position : position + HEADER_BYTES]
    length, crc = struct.unpack("<QI", header)
    if masked_crc(header[:8]) != crc:
        raise ValueError(f"the length of the record at offset {offset} does not fit its checksum")
    if length > MAX_RECORD_BYTES:
        raise ValueError(f"the record at offset {offset} states {length} bytes, more than {MAX_RECORD_BYTES}")
    return int(length)


def _entry(view: memoryview) -> tuple[str, Values]:
    """An entry of the map `feature`: the key is field 1, the value field 2."""
    name, values = "", _feature(view[:0])
    for number, content in _fields(view):
        if isinstance(content, int):
            continue
        if number == 1:
            name = str(content, "utf-8")
        elif number == 2:
            values = _feature(content)
    return name, values


def _feature(view: memoryview) -> Values:
    """A `Feature`: field 1 is a list of bytes, 2 of floats, 3 of whole numbers; the last one stated counts."""
    result: Values = list[bytes]()
    for kind, content in _fields(view):
        if isinstance(content, int):
            continue
        if kind == 1:
            result = [bytes(value) for number, value in _fields(content) if number == 1 and not isinstance(value, int)]
        elif kind == 2:
            result = _floats(content)
        elif kind == 3:
            result = _whole_numbers(content)
    return result


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
