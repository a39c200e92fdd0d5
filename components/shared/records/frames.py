"""Reading TFRecord files without TensorFlow; what is in their records is for `example`.

Format: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details. What is
read may be anybody's file: every length is held against what is there before it is believed, and what does not fit is
a `ValueError`.
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

_MASK_DELTA = 0xA282EAD8
_CHECKSUM = struct.Struct("<I").pack


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


def _stated_length(buffer: bytes | memoryview, position: int, offset: int) -> int:
    header = buffer[position : position + HEADER_BYTES]
    length, crc = struct.unpack("<QI", header)
    if masked_crc(header[:8]) != crc:
        raise ValueError(f"the length of the record at offset {offset} does not fit its checksum")
    if length > MAX_RECORD_BYTES:
        raise ValueError(f"the record at offset {offset} states {length} bytes, more than {MAX_RECORD_BYTES}")
    return int(length)
