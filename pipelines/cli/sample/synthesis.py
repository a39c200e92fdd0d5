"""Pixels of one synthetic tile: a landscape, with the effects of atmosphere and instrument."""

import functools

import numpy as np
from numpy.typing import NDArray

from tilepipe.pipelines.cli.sample import landscapes
from tilepipe.pipelines.cli.sample.landscapes import Landscape
from tilepipe.pipelines.cli.sample.sample_tile import PIXEL_METRES, Tile
from tilepipe.pipelines.cli.sample.shapes import SIZE
from tilepipe.pipelines.cli.sample.spectra import (
    BANDS,
    CIRRUS_SPREAD,
    NOISE,
    PATH,
    RESOLUTIONS_METRES,
    WATER_VAPOR_SPREAD,
)

# Standard deviations of the logarithm, from tile to tile
_LIGHT_SPREAD = 0.12  # sun and slope
_HAZE_SPREAD = 0.1
_PLACE_SPREAD = 0.06  # per band: soils, plants and roofs of one kind differ from place to place


def synthesize(tile: Tile) -> NDArray[np.uint16]:
    """Create the pixels of one tile; the same tile always has the same pixels.

    Returns:
        Digital numbers, uint16, `(64, 64, 13)`, the bands in the order of `spectra.BANDS`.
    """
    rng = np.random.default_rng(tile.entropy)
    seen = _through_air(rng, landscapes.draw(tile.class_name, rng))
    seen = _through_optics(seen)
    seen += NOISE * rng.standard_normal(seen.shape, dtype=np.float32)
    # 0 is Sentinel-2's "no data", so no pixel has it.
    return np.clip(np.rint(seen), 1, np.iinfo(np.uint16).max).astype(np.uint16)


def _through_air(rng: np.random.Generator, land: Landscape) -> Landscape:
    surface = np.exp(rng.normal(0, _LIGHT_SPREAD) + rng.normal(0, _PLACE_SPREAD, len(BANDS))).astype(np.float32)
    air = np.full(len(BANDS), np.exp(rng.normal(0, _HAZE_SPREAD)), np.float32)
    surface[BANDS.index("B09")] *= np.exp(rng.normal(0, WATER_VAPOR_SPREAD))
    cirrus = BANDS.index("B10")
    surface[cirrus] = air[cirrus] = np.exp(rng.normal(0, CIRRUS_SPREAD))
    return PATH * air + (land - PATH) * surface


def _through_optics(sharp: Landscape) -> Landscape:
    blurred = np.empty_like(sharp)
    for resolution in set(RESOLUTIONS_METRES):
        bands = [index for index, metres in enumerate(RESOLUTIONS_METRES) if metres == resolution]
        blur = _blur(resolution)
        # Matrices this small are multiplied in one thread, so that the order of the sums is always the same.
        rows = np.matmul(blur, sharp[..., bands])
        blurred[..., bands] = np.matmul(blur, rows.swapaxes(0, 1)).swapaxes(0, 1)
    return blurred


@functools.cache
def _blur(resolution_metres: int) -> NDArray[np.float32]:
    """Compute the blur matrix of one axis: a Gaussian whose full width at half maximum is the band's pixel size."""
    sigma = resolution_metres / PIXEL_METRES / (8 * np.log(2)) ** 0.5
    axis = np.arange(SIZE)
    weights = np.exp(-((axis[:, None] - axis[None, :]) ** 2) / (2 * sigma**2))
    blur: NDArray[np.float32] = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return blur
