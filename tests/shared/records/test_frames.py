import struct

import pytest

from tilepipe.components.shared.records import frames
from tilepipe.components.shared.records.example import parse_example
from tilepipe.components.shared.records.frames import frame, iter_frames, masked_crc, unframe


@pytest.mark.parametrize("size", [1, 7, 16, 1000])
def test_records_however_the_file_is_cut(size):
    payloads = [b"", b"first", b"x" * 300]
    data = b"".join(frame(payload) for payload in payloads)
    chunks = [data[start : start + size] for start in range(0, len(data), size)]
    assert list(iter_frames(chunks)) == list(zip([0, 16, 37], payloads, strict=True))
    assert list(iter_frames([])) == []


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-1], "record at offset 21 is cut off after 21 bytes of 22"),
        (lambda data: data + b"123", "record at offset 43 is cut off after 3 bytes of 12"),
        (lambda data: data[:21] + b"\x01" + data[22:], "length of the record at offset 21 does not fit"),
        (lambda data: data[:34] + b"\x01" + data[35:], "record at offset 21 does not fit its checksum"),
    ],
)
def test_damage_is_reported_with_its_position(damage, message):
    data = frame(b"first") + frame(b"second")
    with pytest.raises(ValueError, match=message):
        list(iter_frames([damage(data)]))


def test_a_length_beyond_reason():
    length = struct.pack("<Q", frames.MAX_RECORD_BYTES + 1)
    with pytest.raises(ValueError, match="more than 1073741824"):
        list(iter_frames([length + struct.pack("<I", masked_crc(length))]))


def test_one_record_alone():
    assert unframe(frame(b"first")) == b"first"
    with pytest.raises(ValueError, match="states 5 bytes, but has 6"):
        unframe(frame(b"first") + b"x", 40)
    with pytest.raises(ValueError, match="offset 40 is cut off"):
        unframe(b"1234", 40)


def test_the_real_records(real_data):
    with real_data("droughtwatch/part-r-00012").open("rb") as file:
        frames = list(iter_frames(iter(lambda: file.read(100_000), b"")))
    examples = [parse_example(payload) for _, payload in frames]
    labels = [example["label"][0] for example in examples]
    assert [labels.count(label) for label in range(4)] == [46, 16, 14, 5]
    assert all(len(example[f"B{band}"][0]) == 65 * 65 for example in examples for band in range(1, 12))
