"""Comparison of a scene with the training tiles: product level, sensor, unit and offset of the numbers."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tilepipe.components.predict_scenes.config import ScenesOptions
from tilepipe.components.predict_scenes.scene.scene_grid import Conversion, SceneGrid
from tilepipe.components.predict_scenes.scene.scene_source import Scene
from tilepipe.components.shared.contracts.bands import SENTINEL_2_BANDS, other_platform
from tilepipe.components.shared.contracts.manifest import BandStatistics
from tilepipe.components.shared.contracts.product import (
    OFFSET,
    SHIFTED_FROM,
    Product,
    numbers_offset,
    product_level,
    satellites,
)
from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.storage import storage

logger = logging.getLogger("tilepipe.predict_scenes")

MAX_DEVIATIONS = 4.0
"""Standard deviations of the training pixels by which the median of a scene may differ from their mean."""

UNIT_FACTOR = 10.0
"""Ratio to the training tiles beyond which, in all bands, a scene has another unit."""

_REFLECTANCE_POWER = -4
"""Power of ten of reflectance from 0 to 1 in digital numbers, of which 10,000 are a reflectance of 1."""

_SAMPLES_PER_SIDE = 4
_SAMPLE_PIXELS = 128
_LOW_PERCENT = 2.0
_CIRRUS = "B10"
"""Band that shows high clouds only: it differs between scenes of one product."""

_VAPOR_1C, _VAPOR_2A = 0.5, 0.7
"""Ratio of B09 to B8A below and above which a product is of level 1C or 2A. B09 lies in an absorption band of water
vapor, which level 2A corrects: EuroSAT (1C) has 0.28, BigEarthNet (2A) 0.99."""

_HAZE_1C, _HAZE_2A = 1.15, 0.75
"""Ratio of B02 to B04 above and below which many tiles are of level 1C or 2A. The atmosphere scatters blue light, which
level 2A corrects: EuroSAT (1C) has 1.18, BigEarthNet (2A) 0.73. A single scene may be of water or desert alone."""


@dataclass(frozen=True)
class Sample:
    """Numbers of a scene by band. A cloud over less than half of the scene hardly moves a median."""

    low: dict[str, float]
    """Number below which only few pixels are."""
    median: dict[str, float]
    mean: dict[str, float]
    deviation: dict[str, float]


@dataclass(frozen=True)
class _Training:
    """What the source states of the training tiles, or else their statistics show."""

    level: str
    """`L1C` or `L2A` for Sentinel-2; empty if it is unknown. What the source states takes precedence."""
    offset: float | None
    """0 or 1000; None if the bands do not show it."""
    is_sentinel_2: bool


def choose_conversion(
    scene: Scene, statistics: Sequence[BandStatistics], options: ScenesOptions, product: Product
) -> Conversion:
    """Choose the conversion of a scene's numbers to those of the training tiles.

    Sentinel-2 products since baseline 04.00 have an offset of 1000 in all numbers, unless it was removed. It is added
    or removed if the training tiles differ in it, as their source states, or the lowest numbers of their bands show.

    Args:
        scene: The scene.
        statistics: Digital numbers of the training tiles, in band order.
        options: Numbers that the user states instead.
        product: What the source of the training tiles states.

    Raises:
        SourceError: The scene has the offset, and nothing shows whether the training tiles have it.
    """
    if options.pixel_offset is not None:
        return Conversion(options.pixel_scale or 1.0, options.pixel_offset)
    training, found = _training(statistics, product), _scene_offset(scene)
    if not training.is_sentinel_2 or found is None or found == training.offset:
        return Conversion()
    if training.offset is None:
        if not found:
            return Conversion()
        removed, kept = options.argument(pixel_offset=-found), options.argument(pixel_offset=0)
        raise SourceError(
            "The numbers of a scene must have the offset of the training tiles, which nothing states or shows. "
            f"Received: {storage.shown(scene.uri)} of processing baseline {scene.baseline or 'unknown'}, with an "
            f"offset of {found:g}. Set {removed} if the training tiles have no offset, else {kept}."
        )
    logger.info(
        "the numbers of the scene have the offset %g, those of the training tiles %g: %+g is added",
        found,
        training.offset,
        training.offset - found,
    )
    return Conversion(1.0, training.offset - found)


def check_product(
    scene: Scene, grid: SceneGrid, statistics: Sequence[BandStatistics], options: ScenesOptions, product: Product
) -> Sample | None:
    """Check that a scene is of the product level, unit and sensor of the training tiles.

    What both state is compared first, and then the numbers in up to 16 samples of the scene.

    Args:
        scene: The scene.
        grid: Its pixels.
        statistics: Digital numbers of the training tiles, in band order.
        options: Whether differences are accepted, with a warning.
        product: What the source of the training tiles states.

    Returns:
        The numbers of the samples; None without any valid pixel.

    Raises:
        SourceError: The scene differs.
    """
    training, sample = _training(statistics, product), sample_scene(grid)
    if scene.level and scene.level in product.levels:
        training = replace(training, level="")  # the same level is stated: numbers cannot contradict it
    problems, conversion = _stated_problems(scene, training, product), ""
    if sample:
        is_stated = _scene_offset(scene) is not None or options.pixel_offset is not None
        has_offset = training.offset == 0 and not is_stated and min(sample.low.values()) >= 0.9 * OFFSET
        problems += _number_problems(sample, statistics, training, has_offset=has_offset)
        conversion = _conversion_advice(_ratios(sample, statistics), options, has_offset=has_offset)
    if not problems:
        return sample
    listed = "; ".join(problems)
    if options.allow_mismatch:
        logger.warning("the scene differs from the training tiles: %s", listed)
        return sample
    raise SourceError(
        "A scene must be of the product level, unit and sensor of the training tiles. Received: "
        f"{storage.shown(scene.uri)}: {listed}. Use a scene of the same product,{conversion} or accept the difference: "
        f"{options.argument(allow_mismatch=True)}."
    )


def _conversion_advice(ratios: Sequence[float], options: ScenesOptions, *, has_offset: bool) -> str:
    """Name the option that converts the numbers of a scene; empty without a number to compare."""
    if has_offset:
        removed, kept = options.argument(pixel_offset=-OFFSET), options.argument(pixel_offset=0)
        return f" or set {removed} if its numbers have that offset, else {kept},"
    typical = float(np.median(ratios)) if ratios else 0.0
    if typical <= 0:
        return ""
    given = options.pixel_scale or 1.0
    scale = given
    if _is_other_unit(ratios):
        scale = given * 10.0 ** -(_REFLECTANCE_POWER if _is_reflectance(typical) else round(math.log10(typical)))
    offset = options.pixel_offset or 0.0
    return (
        f" or convert its numbers with {options.argument(pixel_scale=scale, pixel_offset=offset)}, which multiplies "
        f"them by {scale:g} and then adds {offset:g},"
    )


def sample_scene(grid: SceneGrid) -> Sample | None:
    """Describe the valid pixels of up to 16 samples of the scene; None without any."""
    grid = replace(grid, tiles=replace(grid.tiles, dtype="float32"))  # reflectance would become 0 in integers
    height, width = min(_SAMPLE_PIXELS, grid.height), min(_SAMPLE_PIXELS, grid.width)
    found = []
    for row in _starts(grid.height, height):
        for column in _starts(grid.width, width):
            pixels, valid = grid.read(row, column, height, width)
            found.append(pixels[valid])
    pixels = np.concatenate(found)
    if not len(pixels):
        return None
    low, median = np.percentile(pixels, [_LOW_PERCENT, 50], axis=0)
    read = [(place, band) for place, band in enumerate(grid.tiles.bands) if place not in grid.filled]
    mean, deviation = pixels.mean(axis=0, dtype=np.float64), pixels.std(axis=0, dtype=np.float64)
    return Sample(*({band: float(of[place]) for place, band in read} for of in (low, median, mean, deviation)))


def _starts(length: int, size: int) -> list[int]:
    return sorted({round(start) for start in np.linspace(0, length - size, min(_SAMPLES_PER_SIDE, -(-length // size)))})


def _training(statistics: Sequence[BandStatistics], product: Product) -> _Training:
    known = {one.band: one for one in statistics if one.band in SENTINEL_2_BANDS}
    if len(known) < len(statistics) or not known:
        return _Training("", None, is_sentinel_2=False)
    darkest = min(one.mean for one in known.values())
    offset: float | None = None
    if darkest < 0.9 * OFFSET:  # with the offset, no band can be darker
        offset = 0.0
    elif min(one.minimum for one in known.values()) >= 0.9 * OFFSET:
        offset = OFFSET
    stated = numbers_offset(product.baselines, applied=product.offset_applied, stated=product.number_offset)
    if stated is not None and not (stated == OFFSET and offset == 0):  # such dark numbers cannot have the offset
        offset = stated
    means = {name: one.mean - (offset or 0) for name, one in known.items()}
    level = "L1C" if _CIRRUS in known else _level(means)
    if not level and (ratio := _ratio(means, "B02", "B04")):
        level = "L1C" if ratio > _HAZE_1C else "L2A" if ratio < _HAZE_2A else ""
    levels = {product_level(level) for level in product.levels}
    return _Training(levels.pop() if len(levels) == 1 else level, offset, is_sentinel_2=True)


def _level(numbers: Mapping[str, float]) -> str:
    ratio = _ratio(numbers, "B09", "B8A")
    return "" if not ratio else "L1C" if ratio < _VAPOR_1C else "L2A" if ratio > _VAPOR_2A else ""


def _ratio(numbers: Mapping[str, float], above: str, below: str) -> float | None:
    """Return the ratio of two bands; None if it is undefined."""
    if numbers.get(above, 0) <= 0 or numbers.get(below, 0) <= 0:
        return None
    return numbers[above] / numbers[below]


def _scene_offset(scene: Scene) -> float | None:
    """Return the offset in the numbers of a scene, 0 or 1000; None if nothing states it."""
    baselines = [scene.baseline] if scene.baseline else []
    return numbers_offset(baselines, applied=scene.offset_is_applied, stated=scene.stated_offset)


def _stated_problems(scene: Scene, training: _Training, product: Product) -> list[str]:
    problems = []
    levels = product.levels or ((training.level,) if training.level and product_level(scene.level) else ())
    if levels and scene.level and scene.level not in levels:
        expected = ", ".join(level.removeprefix("L") for level in levels)
        problems.append(
            f"it is of level {scene.level.removeprefix('L')}, and the training tiles are of level {expected}"
        )
    platform = other_platform(scene.platform)
    if training.is_sentinel_2 and platform:
        problems.append(f"it is of {platform}, and the bands of the model are named as those of Sentinel-2")
    elif sensor := _other_sensor(scene, product):
        problems.append(sensor)
    if scene.unit and product.units and scene.unit.casefold() not in {unit.casefold() for unit in product.units}:
        problems.append(f"its unit is {scene.unit}, and that of the training tiles {', '.join(product.units)}")
    return problems


def _other_sensor(scene: Scene, product: Product) -> str:
    """Describe the sensor of a scene that none of the training tiles is of; empty if it is the same or unknown."""
    words = scene.platform.lower().split()
    if set(words) & {*product.instruments, *product.platforms}:
        return ""
    found, expected = satellites(words), satellites(product.platforms)
    if not found or not expected or found & expected:
        return ""
    return f"it is of {', '.join(sorted(found))}, and the training tiles are of {', '.join(sorted(expected))}"


def _number_problems(
    sample: Sample, statistics: Sequence[BandStatistics], training: _Training, *, has_offset: bool
) -> list[str]:
    compared = [one for one in statistics if one.band in sample.median]
    ratios = _ratios(sample, statistics)
    if _is_other_unit(ratios):
        typical = float(np.median(ratios))
        return [
            f"its numbers are {typical:.2g} times those of the training tiles in all bands, so they have another unit"
            + (", probably reflectance from 0 to 1" if _is_reflectance(typical) else "")
        ]
    problems = []
    if has_offset:
        problems.append(
            f"its numbers are above {min(sample.low.values()):,.0f} in all bands, as with the offset of {OFFSET:g} of "
            f"Sentinel-2 since baseline {SHIFTED_FROM}, which the training tiles do not have"
        )
    level = _level(sample.median)
    if training.level and level and level != training.level:
        ratio = sample.median["B09"] / sample.median["B8A"]
        problems.append(
            f"its ratio of B09 to B8A, {ratio:.2f}, is that of level {level[1:]}, and the training tiles are of level "
            f"{training.level[1:]}"
        )
    far = [text for one in compared if one.band != _CIRRUS and (text := _deviation(one, sample.median[one.band]))]
    if far:
        shown = ", ".join(far[:5]) + (f" and {len(far) - 5} more bands" if len(far) > 5 else "")
        problems.append(f"its medians differ from the training tiles: {shown}")
    return problems


def _ratios(sample: Sample, statistics: Sequence[BandStatistics]) -> list[float]:
    """Return the ratio of a scene's median to the mean of the training tiles for each band that shows it."""
    compared = [one for one in statistics if one.band in sample.median and one.band != _CIRRUS]
    return [sample.median[one.band] / one.mean for one in compared if one.mean > 0]


def _is_other_unit(ratios: Sequence[float]) -> bool:
    return bool(ratios) and (max(ratios) < 1 / UNIT_FACTOR or min(ratios) > UNIT_FACTOR)


def _is_reflectance(ratio: float) -> bool:
    return 2e-5 < ratio < 5e-4


def _deviation(one: BandStatistics, median: float) -> str:
    """Describe a median that lies outside of the training pixels; empty for one within."""
    is_far = abs(median - one.mean) > MAX_DEVIATIONS * one.std or not one.minimum <= median <= one.maximum
    return f"{one.band} {median:,.4g} (training {one.mean:,.4g} ± {one.std:,.3g})" if is_far else ""
