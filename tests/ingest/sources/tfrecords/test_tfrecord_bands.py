import numpy as np
import pytest

from tilepipe.components.ingest.sources.tfrecords.tfrecord_bands import find_layout
from tilepipe.components.shared.contracts.tile_table import ENCODED, RecordFeature
from tilepipe.components.shared.errors import SourceError

RNG = np.random.default_rng(0)
DARK = RNG.integers(0, 40, (32, 32))
REFLECTANCE = RNG.random((16, 16), "float32")


def found(*records, source_bands=(), shape=(), dtype=None):
    layout = find_layout(records[0], source_bands, shape, dtype)
    for record in records:
        layout.observe(record)
    return layout.features()


def one(values, **parameters):
    [feature] = found({"B1": values, **parameters.pop("beside", {})}, **parameters)
    return feature.dtype, feature.height, feature.width


def test_bytes_that_can_only_be_uint8():
    assert one([DARK.astype("uint8").tobytes()]) == ("uint8", 32, 32)


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (REFLECTANCE, "1024 bytes, which may be 32x32 uint8 or 16x16 float32"),
        (RNG.integers(0, 5000, (16, 16)).astype("<i4"), "32x32 uint8 or 16x16 int32"),
        (np.zeros((16, 16), "float32"), "32x32 uint8 or 16x16 float32 or 16x16 int32"),
        (RNG.random((8, 8)), "512 bytes, which may be 16x16 uint16 or 8x8 float64"),
        (RNG.integers(-900, 900, (16, 16)).astype("<i2"), "512 bytes, which may be 16x16 uint16 or 16x16 int16"),
    ],
)
def test_bytes_with_several_readings_stop(pixels, said):
    with pytest.raises(SourceError, match=f'{said}.*"record_dtype"'):
        one([pixels.tobytes()])
    dtype = pixels.dtype.name
    assert one([pixels.tobytes()], dtype=dtype) == (dtype, *pixels.shape)
    assert one([pixels.tobytes()], beside={"dtype": [dtype.encode()]}) == (dtype, *pixels.shape)


def test_the_shape_beside_the_pixels_leaves_one_reading():
    beside = {"height": [16], "width": [16]}
    assert one([REFLECTANCE.tobytes()], beside=beside) == ("float32", 16, 16)
    assert one([REFLECTANCE.tobytes()], shape=(16, 16)) == ("float32", 16, 16)
    whole = RNG.integers(0, 5000, (16, 16)).astype("<i4")
    assert one([whole.tobytes()], beside=beside) == ("int32", 16, 16)


def test_a_later_record_rules_a_reading_out():
    blank = {"B1": [bytes(1024)]}
    [feature] = found(blank, {"B1": [DARK.astype("uint8").tobytes()]})
    assert feature.dtype == "uint8"


def test_positive_numbers_of_16_bits_are_the_same_in_both_readings():
    assert one([RNG.integers(0, 9000, (16, 16)).astype("<i2").tobytes()]) == ("uint16", 16, 16)


@pytest.mark.parametrize("text", [b">u2", b"complex64", b"pixels"])
def test_dtypes_beside_the_pixels_that_are_not_read(text):
    with pytest.raises(SourceError, match=r"The feature dtype must be one of uint8"):
        one([bytes(1024)], beside={"dtype": [text]})


def test_lists_of_numbers():
    assert one(REFLECTANCE.ravel().tolist()) == ("float32", 16, 16)
    for low, high, dtype in ((0, 255, "uint8"), (0, 9000, "uint16"), (-5, 9, "int16"), (0, 70000, "float32")):
        assert one([low, high] * 32) == (dtype, 8, 8)
    with pytest.raises(SourceError, match=r"float32 can represent.*0 to 16777217"):
        one([0, 2**24 + 1] * 32)
    with pytest.raises(SourceError, match="feature B1 with 7 values"):
        one([1] * 7)


def test_lists_of_whole_numbers_of_one_tile_have_one_dtype():
    """A list states no dtype; one band with small or negative numbers does not make the set unusable."""
    small, large, negative = [0, 255] * 32, [0, 9000] * 32, [-5, 9] * 32
    assert [one.dtype for one in found({"B1": small, "B2": large})] == ["uint16", "uint16"]
    assert [one.dtype for one in found({"B1": small, "B2": large}, {"B1": negative, "B2": large})] == ["int16", "int16"]


@pytest.mark.parametrize("start", [b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"II*\0", b"RIFF1234WEBP"])
@pytest.mark.parametrize("name", ["image/encoded", "image", "photo"])
def test_an_encoded_image(start, name):
    features = {name: [start + bytes(50)], "label": [1], "filename": [b"x.jpg"]}
    expected = RecordFeature(name=name, dtype=ENCODED, height=0, width=0)
    assert found(features) == (expected,)
    assert found(features, source_bands=("red", "green", "blue")) == (expected,)
    assert expected.holds_all_bands


def test_raw_pixels_of_all_bands_with_their_depth():
    features = {"image_raw": [DARK.astype("uint8").tobytes()], "height": [16], "width": [16], "depth": [4]}
    assert found(features) == (RecordFeature(name="image_raw", dtype="uint8", height=16, width=16, bands=4),)
    del features["depth"]
    with pytest.raises(SourceError, match=r"one encoded image. Received: the features height, image_raw"):
        found(features)
