"""The framing of TFRecord files, encoded and decoded without TensorFlow; `example` handles the payloads.

Format: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details. Input files are not trusted:
every length is checked against the available bytes before it is used, and invalid data raises a `ValueError`.
"""

import struct
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

Buffer = bytes | npt.NDArray[np.uint8]
"""Bytes, or an array of bytes, which is not copied."""

HEADER_BYTES = 12
"""Size of the length (8) and its checksum (4), which precede the payload."""
FRAMING_BYTES = 16
"""Size of the framing: the header (12) and the checksum of the payload (4)."""
MAX_RECORD_BYTES = 1 << 30
"""Largest accepted payload, well above the size of any tile; a greater length is treated as damage."""

_MASK_DELTA = 0xA282EAD8
_CHECKSUM = struct.Struct("<I").pack


def masked_crc(*parts: Buffer | memoryview) -> int:
    """Compute the checksum of TFRecord files, a masked CRC-32C (32 bits, unsigned), of data in consecutive parts.

    The format masks the CRC because the CRC of data that contains CRCs is a weak checksum.
    """
    import google_crc32c  # the train image, which only reads payloads, has no such package

    crc = 0
    for part in parts:
        crc = google_crc32c.extend(crc, bytes(part) if isinstance(part, memoryview) else part)
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


def frame(payload: bytes) -> bytes:
    """Frame a record and return it as one piece; see `frame_parts`."""
    return b"".join(frame_parts(payload))  # type: ignore[arg-type] # typeshed: arrays are buffers from Python 3.12 on


def frame_parts(*payload: Buffer) -> tuple[Buffer, ...]:
    """Frame a record: length, checksum of the length, payload, checksum of the payload.

    Both are in consecutive parts; the payload is not copied.
    """
    length = struct.pack("<Q", sum(map(len, payload)))
    return length, _CHECKSUM(masked_crc(length)), *payload, _CHECKSUM(masked_crc(*payload))


def iter_frames(chunks: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Split a TFRecord file into records, with one chunk and one record in memory at a time.

    Args:
        chunks: the bytes of the file in order, split anywhere.

    Yields:
        The offset of the framed record in bytes, and its payload; the framed record is `FRAMING_BYTES` longer.

    Raises:
        ValueError: if the file ends within a record, or if a checksum does not match; states the offset of the record.
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
    """Return the payload of one framed record, after verifying both checksums.

    Args:
        framed: exactly one framed record.
        offset: offset of the record in its file, for the error message. Defaults to 0.

    Returns:
        The payload.

    Raises:
        ValueError: if it is not exactly one record, or if a checksum does not match.
    """
    if len(framed) < FRAMING_BYTES:
        raise ValueError(f"the record at offset {offset} is cut off after {len(framed)} bytes")
    length = _stated_length(framed, 0, offset)
    if length + FRAMING_BYTES != len(framed):
        raise ValueError(f"the record at offset {offset} states {length} bytes, but has {len(framed) - FRAMING_BYTES}")
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
