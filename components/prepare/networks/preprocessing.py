"""Preprocessing of raw digital numbers inside the model, so that serving and training use the same.

It consists of Keras layers and operations only, so the model loads without tilepipe. It computes in float32, since
65,535 exceeds half precision.
"""

from collections.abc import Sequence

import keras  # noqa: TID253 - this module is about Keras, and only functions import it

from tilepipe.components.prepare.config import ModelOptions
from tilepipe.components.prepare.networks.indices import REFLECTANCE_ONE, SpectralIndex, find_indices
from tilepipe.components.prepare.networks.seen_bands import with_seen_bands
from tilepipe.components.prepare.weights.weights import SCALING_LAYER
from tilepipe.components.shared.contracts.manifest import BandStatistics, Manifest

# Denominators below this count as zero: far below one digital number, far above the limits of float32.
_NOTHING = 1e-6

INDEX_STATISTICS = (0.0, 0.5)
"""Mean and standard deviation by which indices (-1 to 1) are scaled; the manifest has no statistics of them."""


def preprocess(
    tiles: keras.KerasTensor,
    manifest: Manifest,
    options: ModelOptions,
    *,
    shorter_side: int,
    scaling: tuple[Sequence[float], Sequence[float]] | None = None,
) -> keras.KerasTensor:
    """Add spectral indices as further channels, scale all, and resize.

    Args:
        tiles: raw digital numbers, float32, `(batch, height, width, bands)`.
        manifest: statistics and names of the bands.
        options: scaling and indices.
        shorter_side: shorter side of the result in pixels; the aspect ratio is kept.
        scaling: means and variances of bands and indices, as pretrained weights expect them; None for those of
            `options.input_scaling`, where `auto` means `standardise`.

    Returns:
        float32, `(batch, height, width, seen bands + indices)`, of the new height and width.

    Raises:
        BandError: the tiles lack a band that `options.bands` or an index names.
    """
    means, variances = scaling or channel_scaling(manifest, options)
    # A constant band has variance 0; a pixel that differs at serving would become huge.
    variances = [variance or 1.0 for variance in variances]
    indices = find_indices(options.indices, manifest.bands, options.sensor, manifest.common_names, manifest.platform)
    seen = with_seen_bands(manifest, options.bands).bands
    values = tiles
    if seen != manifest.bands and seen:
        values = keras.ops.take(tiles, [manifest.bands.index(band) for band in seen], axis=-1)
    if indices:
        found = [_index(tiles, index, manifest, options) for index in indices]
        channels = [values, *found] if seen else found
        values = channels[0] if len(channels) == 1 else keras.ops.concatenate(channels, axis=-1)
    standardise = keras.layers.Normalization(mean=list(means), variance=variances, dtype="float32", name=SCALING_LAYER)
    values = standardise(values)
    height, width = resized(manifest.height, manifest.width, shorter_side)
    if (height, width) == (manifest.height, manifest.width):
        return values
    resize = keras.layers.Resizing(height, width, interpolation="bilinear", dtype="float32", name="resize")
    # By default, it runs in training mode and passes that on to the batch normalization behind it, also when a user
    # calls the saved model or serves an export of it.
    return resize(values, training=False)


def channel_scaling(manifest: Manifest, options: ModelOptions) -> tuple[list[float], list[float]]:
    """Compute means and variances for scaling bands and indices as (value - mean) / sqrt(variance).

    Returns:
        One mean and one variance per band that the network sees, and per index.
    """
    seen = with_seen_bands(manifest, options.bands)
    bands = [_band_scaling(band, manifest, options) for band in seen.statistics]
    scaling = bands + [INDEX_STATISTICS] * len(options.indices)
    return [mean for mean, _ in scaling], [deviation**2 for _, deviation in scaling]


def _band_scaling(band: BandStatistics, manifest: Manifest, options: ModelOptions) -> tuple[float, float]:
    if options.input_scaling == "min_max":
        return band.minimum, band.maximum - band.minimum
    if options.input_scaling == "reflectance":
        scale, offset = _reflectance(manifest, options)
        return -offset, scale
    return band.mean, band.std


def resized(height: int, width: int, shorter_side: int) -> tuple[int, int]:
    """Compute height and width in pixels for a shorter side of `shorter_side`, with the aspect ratio of the tile."""
    shorter = min(height, width)
    return round(height * shorter_side / shorter), round(width * shorter_side / shorter)


def _index(
    tiles: keras.KerasTensor, index: SpectralIndex, manifest: Manifest, options: ModelOptions
) -> keras.KerasTensor:
    scale, offset = _reflectance(manifest, options)
    bands = [(keras.ops.take(tiles, [manifest.bands.index(band)], axis=-1) + offset) / scale for band in index.bands]
    first, second, *rest = bands
    difference = first - second
    if rest:  # https://doi.org/10.1016/S0034-4257(02)00096-2
        return _ratio(2.5 * difference, first + 6.0 * second - 7.5 * rest[0] + 1.0)
    return _ratio(difference, first + second)


def _ratio(above: keras.KerasTensor, below: keras.KerasTensor) -> keras.KerasTensor:
    """Divide, with the quotient clipped to -1 to 1, and 0 for a denominator near zero.

    Digital numbers near or below zero, as over water and shadow, would give arbitrary values; the denominator of EVI
    reaches zero over clouds.
    """
    something = keras.ops.abs(below) > _NOTHING
    # `where` twice, since a division by zero in the branch that is not taken would still make gradients NaN.
    quotient = above / keras.ops.where(something, below, 1.0)
    return keras.ops.where(something, keras.ops.clip(quotient, -1.0, 1.0), 0.0)


def _reflectance(manifest: Manifest, options: ModelOptions) -> tuple[float, float]:
    """Return the digital number of reflectance 1 and the offset added to digital numbers before."""
    return options.reflectance_scale or REFLECTANCE_ONE[manifest.dtype], options.reflectance_offset
