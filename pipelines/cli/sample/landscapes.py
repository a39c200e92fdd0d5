"""Landscapes of EuroSAT's ten classes, before the effects of atmosphere and instrument.

The classes share their surfaces, and the proportions of the surfaces vary within a class as much as between classes.
What distinguishes a motorway from the fields around it, or an orchard from a ploughed field, is the arrangement of the
surfaces. A model therefore has to learn shapes, not band means. Helber et al. 2019 (https://arxiv.org/abs/1709.00029)
show real tiles of each class.
"""

from collections.abc import Callable
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from tilepipe.pipelines.cli.sample import shapes
from tilepipe.pipelines.cli.sample.shapes import Layer
from tilepipe.pipelines.cli.sample.spectra import SURFACES

Landscape = NDArray[np.float32]
"""Digital numbers, float32, `(64, 64, 13)`."""

Spectrum = NDArray[np.float32]
"""Digital numbers, float32, `(..., 13)`."""

Generator = np.random.Generator


def draw(class_name: str, rng: Generator) -> Landscape:
    """Draw one landscape of a class; the generator determines all other properties."""
    return _LANDSCAPES[class_name](rng)


def _annual_crop(rng: Generator) -> Landscape:
    angle = rng.uniform(0, np.pi)
    fields = shapes.parcels(rng, angle, (14, 30), (20, 60))
    season = rng.uniform(0.15, 0.85)  # fraction of green fields
    land = _fields(rng, fields, season)
    land *= 1 + 0.03 * shapes.fractal(rng, 1)[..., None]
    return land


def _permanent_crop(rng: Generator) -> Landscape:
    angle = rng.uniform(0, np.pi)
    plots = shapes.parcels(rng, angle, (8, 18), (10, 26))
    # Rows of trees or vines; their direction changes by a quarter turn from plot to plot.
    along, across = shapes.turned(angle)
    turn = rng.random(plots.count) < 0.5
    spacing = rng.uniform(2.6, 4.5)
    rows = np.where(turn[plots.ids], along, across)
    cover = rng.uniform(0.15, 0.75) + rng.normal(0, 0.12, plots.count)
    share = cover[plots.ids] + 0.38 * np.sin(2 * np.pi * rows / spacing) + 0.05 * shapes.fractal(rng, 1)
    floor = _mix(SURFACES["orchard_floor"], SURFACES["dry_grass"], rng.uniform(0, 0.8))
    plants = _mix(SURFACES["orchard"], SURFACES["meadow"], rng.uniform(0, 0.3))
    bright = _spread(rng, plots.count)[plots.ids]
    return _mix(floor, plants, share.astype(np.float32)) * bright[..., None]


def _pasture(rng: Generator) -> Landscape:
    angle = rng.uniform(0, np.pi)
    fields = shapes.parcels(rng, angle, (26, 60), (30, 70))
    lush = np.clip(rng.uniform(0.1, 1) + rng.normal(0, 0.12, fields.count), 0, 1).astype(np.float32)
    share = lush[fields.ids] + 0.07 * shapes.fractal(rng, 2)
    land = _mix(SURFACES["grazed"], SURFACES["meadow"], share)
    hedged = (rng.random(fields.count) < 0.8)[fields.ids]
    hedges = np.where(hedged, 1 - fields.inside(rng.uniform(0.3, 1.2)), 0)
    trees = shapes.dots(rng, int(rng.integers(0, 16)), (0.6, 1.8))
    return _mix(land, _woods(rng), np.maximum(hedges, trees))


def _herbaceous_vegetation(rng: Generator) -> Landscape:
    patches = shapes.fractal(rng, rng.choice((2.0, 2.5)))
    bushes = shapes.fractal(rng, 1.5)
    grass = _mix(SURFACES["dry_grass"], SURFACES["grazed"], rng.uniform(0, 1))
    land = _mix(grass, SURFACES["scrub"], _threshold(patches, rng.uniform(-0.8, 0.8), 0.7))
    land = _mix(land, SURFACES["stubble"], _threshold(-patches, rng.uniform(0.5, 1.5), 0.6))
    return _mix(land, _woods(rng), _threshold(bushes, rng.uniform(0.7, 2.2), 0.6))


def _forest(rng: Generator) -> Landscape:
    stands = shapes.fractal(rng, 3)
    land = _mix(SURFACES["conifer"], SURFACES["broadleaf"], rng.uniform(-0.1, 1) + 0.2 * stands)
    land *= 1 + 0.08 * shapes.fractal(rng, 1)[..., None]  # crowns and their shadows
    clearing = _threshold(shapes.fractal(rng, 3), rng.uniform(1.2, 4), 0.3)
    return _mix(land, SURFACES["scrub"], clearing)


def _residential(rng: Generator) -> Landscape:
    angle = rng.uniform(0, np.pi)
    blocks = shapes.parcels(rng, angle, (7, 11), (10, 22))
    plots = shapes.parcels(rng, angle, (2.4, 3.6), (2.2, 4))
    garden = _mix(SURFACES["garden"], SURFACES["dry_grass"], rng.uniform(0, 0.8))
    land = garden * (1 + 0.06 * shapes.fractal(rng, 1)[..., None])
    land = _mix(land, _woods(rng), shapes.dots(rng, int(rng.integers(5, 40)), (0.5, 1.2)))
    built = (rng.random(plots.count) < rng.uniform(0.3, 0.8))[plots.ids]
    roofs = _mix(SURFACES["house"], SURFACES["roof"], rng.uniform(-0.1, 0.25, plots.count).astype(np.float32))
    land = _mix(land, roofs[plots.ids], built * plots.inside(rng.uniform(0.1, 0.5)))
    return _mix(land, SURFACES["asphalt"], 1 - blocks.inside(rng.uniform(0.4, 0.8)))


def _industrial(rng: Generator) -> Landscape:
    angle = rng.uniform(0, np.pi)
    plots = shapes.parcels(rng, angle, (9, 22), (9, 30))
    kinds = np.stack([SURFACES[name] for name in ("roof", "concrete", "paved", "house", "garden", "stubble")])
    green = rng.uniform(0.05, 0.5)
    odds = np.array([0.28, 0.28, 0.3, 0.14]) * (1 - green)
    kind = rng.choice(6, plots.count, p=[*odds, 0.6 * green, 0.4 * green])
    halls = kinds[kind] * _spread(rng, plots.count)[:, None]
    yard = _mix(SURFACES["paved"], SURFACES["garden"], rng.uniform(0, 0.6))
    land = _mix(yard, halls[plots.ids], plots.inside(rng.uniform(0.8, 1.8)))
    return land * (1 + 0.03 * shapes.fractal(rng, 0.5)[..., None])


def _highway(rng: Generator) -> Landscape:
    land = _countryside(rng)
    crossing = rng.random() < 0.35
    for _ in range(2 if crossing else 1):
        along, across = shapes.turned(rng.uniform(0, np.pi))
        width, offset, bend = rng.uniform(2.0, 3.6), rng.uniform(-14, 14), rng.uniform(-10, 10)
        verge = shapes.band(along, across, width=width + rng.uniform(1.5, 5), offset=offset, bend=bend)
        road = shapes.band(along, across, width=width, offset=offset, bend=bend)
        land = _mix(land, _mix(SURFACES["garden"], SURFACES["dry_grass"], rng.uniform(0, 1)), verge)
        land = _mix(land, _mix(SURFACES["asphalt"], SURFACES["paved"], rng.uniform(0, 1)), road)
    return land


def _river(rng: Generator) -> Landscape:
    land = _countryside(rng)
    along, across = shapes.turned(rng.uniform(0, np.pi))
    depth = shapes.meander(
        along,
        across,
        width=rng.uniform(6, 22),
        offset=rng.uniform(-12, 12),
        amplitude=rng.uniform(1, 9),
        wavelength=rng.uniform(45, 110),
        phase=rng.uniform(0, 2 * np.pi),
    )
    land = _mix(land, _woods(rng), shapes.coverage(depth + np.float32(rng.uniform(0, 4))))
    return _mix(land, _water(rng), shapes.coverage(depth))


def _sea_lake(rng: Generator) -> Landscape:
    swell = 1 + 0.02 * shapes.fractal(rng, 1)
    return np.broadcast_to(_water(rng), (shapes.SIZE, shapes.SIZE, 13)) * swell[..., None]


def _countryside(rng: Generator) -> Landscape:
    """Draw the surroundings of a road or river: one of the open landscapes."""
    return (_annual_crop, _pasture, _herbaceous_vegetation, _permanent_crop)[rng.choice(4, p=(0.4, 0.3, 0.2, 0.1))](rng)


def _fields(rng: Generator, fields: shapes.Parcels, season: float) -> Landscape:
    bare = _mix(SURFACES["dark_soil"], SURFACES["bright_soil"], rng.beta(1, 2, fields.count).astype(np.float32))
    ripe = _mix(SURFACES["stubble"], SURFACES["grazed"], rng.random(fields.count, dtype=np.float32))
    green = rng.random(fields.count) < season
    share = np.where(green, rng.beta(2, 2, fields.count), rng.beta(1, 6, fields.count)).astype(np.float32)
    ground = np.where((rng.random(fields.count) < 0.5)[:, None], bare, ripe)
    return _mix(ground, SURFACES["crop"], share)[fields.ids]


def _woods(rng: Generator) -> Spectrum:
    return _mix(SURFACES["conifer"], SURFACES["broadleaf"], rng.uniform(0, 1))


def _water(rng: Generator) -> Spectrum:
    return _mix(SURFACES["clear_water"], SURFACES["turbid_water"], rng.beta(1.2, 2))


def _mix(first: Spectrum, second: Spectrum, share: Layer | float) -> Spectrum:
    """Mix spectra linearly by area (Keshava and Mustard 2002, https://doi.org/10.1109/79.974727)."""
    weight = np.asarray(share, np.float32)[..., None]
    mixed: Spectrum = first + weight * (second - first)
    return mixed


def _spread(rng: Generator, count: int) -> NDArray[np.float32]:
    factors: NDArray[np.float32] = np.exp(0.1 * rng.standard_normal(count, dtype=np.float32))
    return factors


def _threshold(noise: Layer, level: float, softness: float) -> Layer:
    """Compute the coverage of the area where the noise is above a level."""
    return shapes.coverage((noise - np.float32(level)) / np.float32(softness))


_LANDSCAPES: MappingProxyType[str, Callable[[Generator], Landscape]] = MappingProxyType(
    {
        "AnnualCrop": _annual_crop,
        "Forest": _forest,
        "HerbaceousVegetation": _herbaceous_vegetation,
        "Highway": _highway,
        "Industrial": _industrial,
        "Pasture": _pasture,
        "PermanentCrop": _permanent_crop,
        "Residential": _residential,
        "River": _river,
        "SeaLake": _sea_lake,
    }
)

CLASS_NAMES = tuple(_LANDSCAPES)
"""EuroSAT's ten classes, in its spelling."""
