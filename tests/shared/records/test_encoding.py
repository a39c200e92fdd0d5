import google_crc32c
import pytest

from tilepipe.components.shared.records.example import frame_example, parse_example
from tilepipe.components.shared.records.frames import frame, frame_parts, unframe

tf = pytest.importorskip("tensorflow")


@pytest.mark.parametrize("label", [0, 1, 127, 128, 300, 2**40])
@pytest.mark.parametrize("size", [0, 1, 127, 128, 20_000])
def test_an_example_is_what_tensorflow_would_write(label, size):
    image = bytes(range(256)) * (size // 256) + bytes(size % 256)
    example = tf.train.Example()
    example.features.feature["image"].bytes_list.value.append(image)
    example.features.feature["label"].int64_list.value.append(label)
    example.features.feature["tile_id"].bytes_list.value.append("Wald/größe_1".encode())
    framed = frame_example(image, label, "Wald/größe_1")
    assert b"".join(framed) == frame(example.SerializeToString(deterministic=True))
    assert parse_example(unframe(b"".join(framed))) == {
        "image": [image],
        "label": [label],
        "tile_id": ["Wald/größe_1".encode()],
    }


def test_a_file_is_what_tensorflow_would_write(tmp_path):
    payloads = [b"", b"x", bytes(range(256)) * 300]
    with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as writer:
        for payload in payloads:
            writer.write(payload)
    assert b"".join(map(frame, payloads)) == (tmp_path / "theirs").read_bytes()
    assert b"".join(frame_parts(b"ab", b"", b"c")) == frame(b"abc")


def test_the_checksums_are_computed_in_c():
    assert google_crc32c.implementation == "c"
