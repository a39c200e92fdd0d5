import numpy as np
import pytest
from PIL import Image

from tilepipe.components.shared.tiles.resample import resample

METHODS = ("nearest", "bilinear", "bicubic", "lanczos")
SIZES = [(32, 32), (7, 90), (120, 1), (64, 13), (1, 1), (37, 41), (500, 3)]


def pillow(image, size, method):
    """Resize with Pillow, band by band, in floats, as the reference."""
    filter_ = Image.Resampling[method.upper()]
    bands = [np.ascontiguousarray(image[..., band], np.float32) for band in range(image.shape[-1])]
    return np.stack([np.asarray(Image.fromarray(band).resize(size[::-1], filter_)) for band in bands], axis=-1)


@pytest.mark.parametrize("method", METHODS[1:])
@pytest.mark.parametrize("size", SIZES)
def test_it_is_pillows(method, size):
    image = np.random.default_rng(0).random((64, 40, 3)).astype(np.float32) * 1000
    result, valid = resample(image, size, method)
    assert (result.shape, result.dtype, valid) == ((*size, 3), np.float32, None)
    np.testing.assert_allclose(result, pillow(image, size, method), rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("size", [(32, 32), (64, 13), (37, 41), (128, 80)])
def test_the_nearest_is_the_pixel_under_the_center(size):
    image = np.random.default_rng(0).random((64, 40, 3)).astype(np.float32)
    np.testing.assert_array_equal(resample(image, size, "nearest")[0], pillow(image, size, "nearest"))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
@pytest.mark.parametrize("method", METHODS)
def test_whole_numbers_are_rounded_and_stay_in_range(dtype, method):
    limits = np.iinfo(dtype)
    image = np.random.default_rng(1).choice([limits.min, limits.max], (20, 20, 2)).astype(dtype)
    result, _ = resample(image, (33, 33), method)
    assert result.dtype == dtype
    expected = np.clip(np.rint(pillow(image, (33, 33), method)), limits.min, limits.max)
    assert np.abs(result - expected).max() <= 1  # a half may fall to either side
    assert (result == expected).mean() > 0.99


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [65535, 1, 30001])
def test_a_plain_picture_stays_plain(method, value):
    for size in SIZES:
        result, _ = resample(np.full((64, 40, 2), value, np.uint16), size, method)
        assert np.unique(result).tolist() == [value]


def test_shrinking_is_antialiased():
    stripes = np.zeros((64, 64, 1), np.uint8)
    stripes[::2] = 200
    for method in ("bilinear", "bicubic", "lanczos"):
        assert np.abs(resample(stripes, (16, 16), method)[0][2:-2].astype(int) - 100).max() <= 3
    assert set(np.unique(resample(stripes, (16, 16), "nearest")[0])) <= {0, 200}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [(16, 16), (100, 100), (64, 20)])
def test_nodata_does_not_bleed(method, size):
    image = np.full((64, 64, 2), 1000, np.int16)
    valid = np.ones(image.shape, bool)
    image[:20, :, 0], valid[:20, :, 0] = -32768, False
    image[40:, 40:, 1], valid[40:, 40:, 1] = -32768, False
    result, enough = resample(image, size, method, valid)
    assert np.unique(result[enough]).tolist() == [1000]
    np.testing.assert_allclose(enough.mean(axis=(0, 1)), valid.mean(axis=(0, 1)), atol=0.06)
    assert not enough[0, 0, 0]
    assert enough[0, 0, 1]


def test_a_pixel_with_less_than_half_its_weight_is_nodata():
    valid = np.array([[0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1], [1, 1, 1, 1]], bool)[..., None]
    image = np.arange(16, dtype=np.float32).reshape(4, 4, 1)
    # Each of the four is made of nine pixels, and weighs its own quarter's nine times as much as the corner's.
    _, enough = resample(image, (2, 2), "bilinear", valid)
    assert enough[..., 0].tolist() == [[False, True], [False, True]]


def test_the_size_it_has_is_no_work():
    image = np.ones((4, 4, 1), np.uint8)
    assert resample(image, (4, 4), "lanczos")[0] is image
