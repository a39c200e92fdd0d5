"""Comparison of a scene with the training tiles: product level, sensor, unit and offset of the numbers."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tilepipe.components.predict_scenes.config import ScenesOptions
from tilepipe.components.predict_scenes.scene.scene_grid import Conversion, SceneGrid
from tilepipe.components.predict_scenes.scene.scene_source import Scene, product_level
from tilepipe.components.shared.contracts.bands import SENTINEL_2_BANDS, other_platform
from tilepipe.components.shared.contracts.manifest import BandStatistics
from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.storage import storage

logger = logging.getLogger("tilepipe.predict_scenes")

Floats = npt.NDArray[np.float64]

SHIFTED_FROM = "04.00"
"""Sentinel-2 baseline since which digital numbers have an offset of 1000:
https://sentinels.copernicus.eu/web/sentinel/-/copernicus-sentinel-2-major-products-upgrade-upcoming"""
OFFSET = 1000.0

MAX_DEVIATIONS = 4.0
"""Standard deviations of the training pixels by which the mean of a scene may differ from theirs."""

UNIT_FACTOR = 10.0
"""Ratio to the training tiles beyond which, in all bands, a scene has another unit."""

_SAMPLES_PER_SIDE = 4
_SAMPLE_PIXELS = 128
_L1C_RATIO, _L2A_RATIO = 0.5, 0.7
"""Ratio of B09 to B8A below and above which a product is of level 1C or 2A. B09 lies in an absorption band of water
vapor, which level 2A corrects: EuroSAT (1C) has 0.28, BigEarthNet (2A) 0.99."""


@dataclass(frozen=True)
class _Training:
    """What the statistics of the training tiles show."""

    level: str
    """`L1C` or `L2A` for Sentinel-2; empty if it is unknown."""
    offset: float | None
    """0 or 1000; None if the bands do not show it."""
    is_sentinel_2: bool


def choose_conversion(scene: Scene, statistics: Sequence[BandStatistics], options: ScenesOptions) -> Conversion:
    """Choose the conversion of a scene's numbers to those of the training tiles.

    Sentinel-2 products since baseline 04.00 have an offset of 1000 in all numbers, unless it was removed. It is added
    or removed if the training tiles differ in it, as the lowest numbers of their bands show.

    Args:
        scene: The scene.
        statistics: Digital numbers of the training tiles, in band order.
        options: Numbers that the user states instead.

    Returns:
        The conversion.

    Raises:
        SourceError: The scene has the offset, and nothing shows whether the training tiles have it.
    """
    if options.pixel_offset is not None:
        return Conversion(options.pixel_scale or 1.0, options.pixel_offset)
    training, found = _training(statistics), _scene_offset(scene)
    if not training.is_sentinel_2 or found is None or found == training.offset:
        return Conversion()
    if training.offset is None:
        if not found:
            return Conversion()
        raise SourceError(
            "The numbers of a scene must have the offset of the training tiles, whose statistics do not show it. "
            f"Received: {storage.shown(scene.uri)} of processing baseline {scene.baseline or 'unknown'}, with an "
            f'offset of {found:g}. Set options={{"pixel_offset": {-found:g}}} if the training tiles have no offset, '
            'else {"pixel_offset": 0}.'
        )
    logger.info(
        "the numbers of the scene have the offset %g, those of the training tiles %g: %+g is added",
        found,
        training.offset,
        training.offset - found,
    )
    return Conversion(1.0, training.offset - found)


def check_product(scene: Scene, grid: SceneGrid, statistics: Sequence[BandStatistics], options: ScenesOptions) -> None:
    """Check that a scene is of the product level, unit and sensor of the training tiles.

    Metadata are compared where both are known, and then the mean of each band in up to 16 samples of the scene.

    Args:
        scene: The scene.
        grid: Its pixels.
        statistics: Digital numbers of the training tiles, in band order.
        options: Whether differences are accepted, with a warning.

    Raises:
        SourceError: The scene differs, or has no valid pixel in the samples and states another product.
    """
    training, means = _training(statistics), sample_means(grid)
    problems = [*_stated_problems(scene, training), *_band_problems(scene, means, statistics, training)]
    if not problems:
        return
    listed = "; ".join(problems)
    if options.allow_mismatch:
        logger.warning("the scene differs from the training tiles: %s", listed)
        return
    raise SourceError(
        "A scene must be of the product level, unit and sensor of the training tiles. Received: "
        f"{storage.shown(scene.uri)}: {listed}. Use a scene of the same product, or convert its numbers with "
        'pixel_scale and pixel_offset, or accept the difference: options={"allow_mismatch": true}.'
    )


def sample_means(grid: SceneGrid) -> dict[str, float]:
    """Return the mean of each band over the valid pixels of up to 16 samples of the scene; empty without any."""
    grid = replace(grid, tiles=replace(grid.tiles, dtype="float64"))  # reflectance would become 0 in integers
    sums: Floats = np.zeros(len(grid.tiles.bands))
    count = 0
    height, width = min(_SAMPLE_PIXELS, grid.height), min(_SAMPLE_PIXELS, grid.width)
    for row in _starts(grid.height, height):
        for column in _starts(grid.width, width):
            pixels, valid = grid.read(row, column, height, width)
            sums += pixels[valid].sum(axis=0, dtype=np.float64)
            count += int(valid.sum())
    read = [(place, band) for place, band in enumerate(grid.tiles.bands) if place not in grid.filled]
    means = {band: sums[place] / count for place, band in read if count}
    return {band: float(mean) for band, mean in means.items()}


def _starts(length: int, size: int) -> list[int]:
    return sorted({round(start) for start in np.linspace(0, length - size, min(_SAMPLES_PER_SIDE, -(-length // size)))})


def _training(statistics: Sequence[BandStatistics]) -> _Training:
    known = {one.band: one for one in statistics if one.band in SENTINEL_2_BANDS}
    if len(known) < len(statistics) or not known:
        return _Training("", None, is_sentinel_2=False)
    darkest = min(one.mean for one in known.values())
    offset: float | None = None
    if darkest < 0.9 * OFFSET:  # with the offset, no band can be darker
        offset = 0.0
    elif min(one.minimum for one in known.values()) >= 0.9 * OFFSET:
        offset = OFFSET
    level = "L1C" if "B10" in known else _level({name: one.mean - (offset or 0) for name, one in known.items()})
    return _Training(level, offset, is_sentinel_2=True)


def _level(means: Mapping[str, float]) -> str:
    if "B09" not in means or "B8A" not in means or means["B8A"] <= 0:
        return ""
    ratio = means["B09"] / means["B8A"]
    return "L1C" if ratio < _L1C_RATIO else "L2A" if ratio > _L2A_RATIO else ""


def _scene_offset(scene: Scene) -> float | None:
    """Return the offset in the numbers of a scene, 0 or 1000; None if nothing states it."""
    if scene.offset_is_applied:
        return 0.0
    if scene.baseline:
        return OFFSET if scene.baseline.zfill(5) >= SHIFTED_FROM else 0.0
    if scene.stated_offset in {0.0, -OFFSET}:
        return -float(scene.stated_offset or 0.0)
    return None


def _stated_problems(scene: Scene, training: _Training) -> list[str]:
    problems = []
    if training.level and scene.level and scene.level != training.level:
        problems.append(f"it is of level {scene.level[1:]}, and the training tiles are of level {training.level[1:]}")
    platform = other_platform(scene.platform)
    if training.is_sentinel_2 and platform:
        problems.append(f"it is of {platform}, and the bands of the model are named as those of Sentinel-2")
    return problems


def _band_problems(
    scene: Scene, means: Mapping[str, float], statistics: Sequence[BandStatistics], training: _Training
) -> list[str]:
    compared = [one for one in statistics if one.band in means]
    if not compared:
        return []
    ratios = [means[one.band] / one.mean if one.mean > 0 else math.nan for one in compared]
    finite = [ratio for ratio in ratios if math.isfinite(ratio)]
    if finite and (max(finite) < 1 / UNIT_FACTOR or min(finite) > UNIT_FACTOR):
        typical = float(np.median(finite))
        return [
            f"its numbers are {typical:.2g} times those of the training tiles in all bands, so they have another unit"
            + (", probably reflectance from 0 to 1" if 2e-5 < typical < 5e-4 else "")
        ]
    problems = []
    level = _level(means)
    if training.level and level and level != training.level and not product_level(scene.level):
        problems.append(
            f"its ratio of B09 to B8A, {means['B09'] / means['B8A']:.2f}, is that of level {level[1:]}, and the "
            f"training tiles are of level {training.level[1:]}"
        )
    far = [text for one in compared if (text := _deviation(one, means[one.band]))]
    if far:
        shown = ", ".join(far[:5]) + (f" and {len(far) - 5} more bands" if len(far) > 5 else "")
        problems.append(f"its means differ from those of the training tiles: {shown}")
    return problems


def _deviation(one: BandStatistics, mean: float) -> str:
    """Describe the mean of a band that lies outside of the training pixels; empty for one within."""
    is_far = abs(mean - one.mean) > MAX_DEVIATIONS * one.std or not one.minimum <= mean <= one.maximum
    return f"{one.band} {mean:,.4g} (training {one.mean:,.4g} ± {one.std:,.3g})" if is_far else ""
