"""Adaptation of weights trained on RGB images to any bands: kernel of the first convolution, and input scaling."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tilepipe.components.prepare.networks.networks import NETWORKS, Architecture, ExpectedInput
from tilepipe.components.shared.contracts.bands import RGB_BANDS, canonical_band
from tilepipe.components.shared.contracts.manifest import Manifest
from tilepipe.components.shared.errors import BandError, ParameterError

Floats = npt.NDArray[np.float32]

_OTHERS_SHARE = 0.25
"""Share of the brightness of the first kernel that bands other than red, green and blue get in total."""

# Common names, and the numbers that Sentinel-2 and Landsat 8 and 9 share.
_NAMES = {
    "red": ("red", "r", "B04"),
    "green": ("green", "g", "B03"),
    "blue": ("blue", "b", "B02"),
}
_NUMBERS = {"B02", "B03", "B04"}
_SAME_NUMBERS = {"landsat-8", "landsat-9"}

# Pixels of ImageNet, red, green, blue, 0 to 255: https://pytorch.org/vision/stable/models.html, times 255.
_IMAGENET_MEAN = (123.675, 116.28, 103.53)
_IMAGENET_STD = (58.395, 57.12, 57.375)


def colors_of(
    channels: Sequence[str],
    rgb_bands: Sequence[str] = (),
    common_names: Sequence[str] = (),
    platform: str = "",
) -> tuple[str, ...]:
    """Identify the red, green and blue channels.

    Args:
        channels: names of the bands and of channels computed from them, in order.
        rgb_bands: names of the red, green and blue bands; empty to detect them by common name, else by name (`red`,
            `R`, `B04`, ...).
        common_names: common name of each band, which are the first channels; an empty string or a missing one for none.
        platform: platform of the tiles as in the manifest; its band numbers count if it is empty, Landsat 8 or 9.

    Returns:
        A color or an empty string per channel. If no name is known, the first three channels are red, green and blue;
        with fewer than three channels, none is.

    Raises:
        ParameterError: `rgb_bands` are not three of the channels.
        BandError: two channels have names of the same color, or the platform contradicts the numbers.
    """
    names = [canonical_band(channel) for channel in channels]
    if rgb_bands:
        wanted = [canonical_band(band) for band in rgb_bands]
        if len(set(wanted)) != 3 or len(wanted) != 3 or not set(wanted) <= set(names):
            raise ParameterError(
                "`rgb_bands` must name the red, the green and the blue one of the tiles' bands. "
                f"Received: rgb_bands={list(rgb_bands)}, with bands {', '.join(channels)}."
            )
        return tuple(RGB_BANDS[wanted.index(name)] if name in wanted else "" for name in names)
    stated = (*common_names, *[""] * (len(names) - len(common_names)))
    colors = tuple(_color(common or name) for name, common in zip(names, stated, strict=True))
    numbered = [
        name for name, common in zip(names, stated, strict=True) if not common and name in _NUMBERS and platform
    ]
    if numbered and not set(platform.split(", ")) <= _SAME_NUMBERS:
        raise BandError(
            f"The numbers of red, green and blue must be those of the platform. Received: {', '.join(numbered)} of "
            f"{platform}, whose numbers are not those of Sentinel-2. Name the three in `rgb_bands`."
        )
    for color in RGB_BANDS:
        if colors.count(color) > 1:
            same = [channel for channel, found in zip(channels, colors, strict=True) if found == color]
            raise BandError(
                f"Only one band can be {color}. Received: {', '.join(same)}. Name the three in `rgb_bands`."
            )
    if any(colors) or len(channels) < 3:
        return colors
    return tuple(RGB_BANDS[place % 3] for place in range(len(channels)))


def _color(name: str) -> str:
    for color, names in _NAMES.items():
        if name in names or name.lower() in names:
            return color
    return ""


def adapt_kernel(kernel: Floats, colors: Sequence[str], order: Sequence[str] = RGB_BANDS) -> Floats:
    """Adapt the kernel of the first convolution from red, green and blue to any channels.

    The kernel is split into brightness, the mean of its three channels, and color, their differences from it. The red,
    green and blue channels keep all of the color and three quarters of the brightness; the other channels share the
    rest. The sum over all channels is unchanged: for channels with equal values, the activations are those of the
    original weights, and the BatchNormalization after them still fits.

    Sharing everything evenly, as timm does (`adapt_input_conv`, kernels repeated and scaled by 3/N,
    https://github.com/huggingface/pytorch-image-models/blob/main/timm/models/_manipulate.py), would leave 13 bands a
    quarter of the color, and edges blurred by bands of 60 m. On the 100 tiles of EuroSAT100 the mean features of
    EfficientNet-Lite0 for 13 bands have a cosine of 0.95 with those for RGB this way, 0.70 with the brightness shared
    evenly, 0.60 as in timm; after the first BatchNormalization the correlations are 0.992, 0.907 and 0.794.

    Args:
        kernel: float32 `(height, width, 3, filters)`.
        colors: color of each channel, from `colors_of`.
        order: order of the channels of the kernel.

    Returns:
        float32 `(height, width, len(colors), filters)`. For red, green and blue in this order, the kernel
        is returned unchanged.
    """
    if sorted(colors) == sorted(RGB_BANDS):
        return kernel[:, :, [order.index(color) for color in colors]]
    colored = sum(bool(color) for color in colors)
    others = len(colors) - colored
    shared = min(_OTHERS_SHARE, others / len(colors)) if colored else 1.0
    brightness = kernel.sum(axis=2, dtype=np.float64)
    present = [color for color in RGB_BANDS if color in colors]
    own = {color: kernel[:, :, order.index(color)].astype(np.float64) for color in present}
    adapted = np.empty((*kernel.shape[:2], len(colors), kernel.shape[3]))
    for place, color in enumerate(colors):
        if not color:
            adapted[:, :, place] = brightness * shared / others
            continue
        grey = np.mean([own[name] for name in present], axis=0)  # of these, so that the differences sum to zero
        adapted[:, :, place] = brightness * (1 - shared) / colored
        adapted[:, :, place] += (own[color] - grey) / colors.count(color)
    return adapted.astype(np.float32)


def input_scaling(
    architecture: Architecture,
    manifest: Manifest,
    rgb_bands: Sequence[str] = (),
    computed: Sequence[tuple[float, float]] = (),
) -> tuple[list[float], list[float]]:
    """Compute the input normalization that ImageNet weights expect, for a `keras.layers.Normalization`.

    RGB tiles of 8 bits are scaled like the images that the weights were trained on. Other digital numbers are scaled
    per band, by the statistics of the manifest, to the mean and standard deviation that ImageNet's pixels have after
    that scaling. Plain standardization (mean 0, deviation 1) would double the contrast for weights that expect
    (RGB - 127) / 128.

    Args:
        architecture: a network that has an `expected_input`.
        manifest: bands, dtype and statistics of the tiles.
        rgb_bands: see `colors_of`.
        computed: mean and standard deviation of each channel computed from the bands, which come after the bands.

    Returns:
        Means and variances per channel, in the units of the channel, for (value - mean) / sqrt(variance).

    Raises:
        ParameterError: the architecture has no weights from ImageNet, or `rgb_bands` are not three of the bands.
        BandError: two bands have names of the same color.
    """
    expected = expected_input(architecture)
    colors = colors_of(manifest.bands, rgb_bands, manifest.common_names, manifest.platform)
    if manifest.dtype == "uint8" and len(colors) == 3 and set(colors) == set(RGB_BANDS) and not computed:
        places = [RGB_BANDS.index(color) for color in colors]
        return [expected.mean[place] for place in places], [expected.scale[place] ** 2 for place in places]
    statistics = [(band.mean, band.std) for band in manifest.statistics] + list(computed)
    means, variances = [], []
    for (mean, std), color in zip(statistics, (*colors, *[""] * len(computed)), strict=True):
        # Statistics of ImageNet's pixels as seen by the network; for channels without a color, the mean over the three.
        places = [RGB_BANDS.index(color)] if color else [0, 1, 2]
        center = np.mean([(_IMAGENET_MEAN[place] - expected.mean[place]) / expected.scale[place] for place in places])
        spread = np.mean([_IMAGENET_STD[place] / expected.scale[place] for place in places])
        scale = (std or 1.0) / float(spread)  # a constant band has deviation 0
        means.append(mean - float(center) * scale)
        variances.append(scale**2)
    return means, variances


def expected_input(architecture: Architecture) -> ExpectedInput:
    """Return the input that the ImageNet weights of a network expect.

    Raises:
        ParameterError: the network has no such weights.
    """
    expected = NETWORKS[architecture].expected_input
    if expected is None:
        names = ", ".join(name for name, network in NETWORKS.items() if network.expected_input)
        raise ParameterError(
            f"Weights can be given to one of {names}. Received: architecture={architecture}, which learns from its own "
            "first weights. Leave `weights_uri` empty, or choose another architecture."
        )
    return expected
