import numpy as np
import pytest

from tests.support.packed import manifest_for
from tilepipe.components.prepare.networks.networks import NETWORKS
from tilepipe.components.prepare.weights.band_weights import adapt_kernel, colors_of, input_scaling
from tilepipe.components.shared.errors import BandError, ParameterError

RGB = ("red", "green", "blue")
KERNEL = np.random.default_rng(0).normal(size=(3, 3, 3, 4)).astype("float32")


@pytest.mark.parametrize(
    ("channels", "rgb_bands", "colors"),
    [
        (("R", "G", "B"), (), RGB),
        (("B02", "B03", "B04", "B08", "NDVI"), (), ("blue", "green", "red", "", "")),
        (("B8A", "B11", "B4"), (), ("", "", "red")),
        (("band_1", "band_2", "band_3"), (), RGB),
        (("a", "b2b", "c", "d"), (), (*RGB, "red")),
        (("VV", "VH"), (), ("", "")),
        (("B08", "B4", "B03"), ("B8", "B04", "B03"), RGB),
    ],
)
def test_names_determine_the_colors(channels, rgb_bands, colors):
    assert colors_of(channels, rgb_bands) == colors


def test_ambiguous_and_unknown_names():
    with pytest.raises(BandError, match=r"Only one band can be red. Received: red, B04. Name the three in `rgb_bands`"):
        colors_of(("red", "B04", "green"))
    for rgb_bands in [("B04", "B03"), ("B04", "B03", "B99"), ("B04", "B04", "B03")]:
        with pytest.raises(ParameterError, match=r"`rgb_bands` must name .* Received: rgb_bands="):
            colors_of(("B04", "B03", "B02", "B08"), rgb_bands)


@pytest.mark.parametrize("order", [RGB, RGB[::-1]])
@pytest.mark.parametrize("colors", [RGB, ("blue", "red", "green")])
def test_rgb_in_any_order_is_the_network_itself_to_the_bit(colors, order):
    adapted = adapt_kernel(KERNEL, colors, order)
    for place, color in enumerate(colors):
        assert np.array_equal(adapted[:, :, place], KERNEL[:, :, order.index(color)])


@pytest.mark.parametrize(
    "colors",
    [("",), ("red",), ("red", ""), ("", "red", "green"), (*RGB, ""), (*RGB, *[""] * 10), (*RGB, *RGB), (*RGB, "red")],
)
def test_a_grey_picture_gives_what_the_weights_know(colors):
    adapted = adapt_kernel(KERNEL, colors)
    assert adapted.shape == (3, 3, len(colors), 4)
    assert adapted.dtype == np.float32
    assert np.allclose(adapted.sum(axis=2), KERNEL.sum(axis=2), atol=1e-5)


def test_colors_stay_whole_and_the_others_share_a_quarter_of_the_brightness():
    adapted = adapt_kernel(KERNEL, (*RGB, *[""] * 10))
    assert np.allclose(adapted[:, :, 0] - adapted[:, :, 2], KERNEL[:, :, 0] - KERNEL[:, :, 2], atol=1e-6)
    assert np.allclose(adapted[:, :, 3:].sum(axis=2), KERNEL.sum(axis=2) / 4, atol=1e-6)


def test_rgb_of_eight_bits_is_scaled_as_the_photographs_were():
    manifest = manifest_for((8, 8, 3), "uint8")
    named = manifest.model_copy(update={"bands": ("blue", "green", "red")})
    assert input_scaling("efficientnet_lite0", named) == ([127.0] * 3, [128.0**2] * 3)
    means, variances = input_scaling("resnet50", named)
    assert means == [103.939, 116.779, 123.68]
    assert variances == [1.0] * 3


@pytest.mark.parametrize("architecture", sorted(name for name, network in NETWORKS.items() if network.expected_input))
def test_other_numbers_get_the_distribution_of_photographs(architecture):
    manifest = manifest_for((8, 8, 3), "uint16", statistics=[(900.0, 200.0), (2000.0, 700.0), (5.0, 0.0)])
    means, variances = input_scaling(architecture, manifest, computed=[(0.2, 0.3)])
    scaled = lambda place, value: (value - means[place]) / variances[place] ** 0.5  # noqa: E731
    expected = NETWORKS[architecture].expected_input
    # B02 is blue, of which ImageNet has a mean of 103.53 and a deviation of 57.375
    assert scaled(1, 2000) == pytest.approx((103.53 - expected.mean[2]) / expected.scale[2], abs=1e-6)
    assert scaled(1, 2700) - scaled(1, 2000) == pytest.approx(57.375 / expected.scale[2])
    assert scaled(3, 0.5) - scaled(3, 0.2) == pytest.approx(57.63 / np.mean(expected.scale), rel=0.01)
    assert np.isfinite(scaled(2, 6))


def test_networks_without_pretrained_weights_have_no_such_scale():
    with pytest.raises(ParameterError, match="Received: architecture=cnn"):
        input_scaling("cnn", manifest_for((8, 8, 3)))


def test_numbers_of_a_platform_that_are_not_sentinel_2s_are_not_colors():
    with pytest.raises(BandError, match=r"Received: B02, B03, B04 of landsat-5, .*rgb_bands"):
        colors_of(("B01", "B02", "B03", "B04"), (), (), "landsat-5")
    assert colors_of(("B01", "B02", "B03", "B04"), (), (), "landsat-8") == ("", "blue", "green", "red")
