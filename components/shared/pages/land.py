"""Land on maps, so that readers see where in the world the tiles are.

`land.json.gz` is Natural Earth's land at 1:50 million (version 4.1, public domain, https://www.naturalearthdata.com),
simplified to a twenty-fifth of a degree by `tests/support/make_land.py`. It holds rings as lists of the differences of
longitude and latitude between points, in fiftieths of a degree; longitudes may exceed 180, where a coast crosses the
antimeridian.
"""

import functools
import gzip
import json
from collections.abc import Sequence
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

DATA = "land.json.gz"
UNITS_PER_DEGREE = 50

_CELL = 1.2  # pixels: of points in the same square, one is drawn
_MARGIN = 3.0  # pixels beyond the map, so that its sides are not drawn as coasts

Points = NDArray[np.float64]


@functools.cache
def land_rings() -> tuple[Points, ...]:
    """Read the outlines of land and of inland seas.

    Returns:
        Closed rings, float64 `(points, 2)`: longitude, which may exceed 180, and latitude in degrees.
    """
    content = gzip.decompress(files(__package__).joinpath(DATA).read_bytes())
    steps = (np.array(ring, np.int64).reshape(-1, 2) for ring in json.loads(content))
    return tuple(np.cumsum(ring, axis=0) / UNITS_PER_DEGREE for ring in steps)


def land_path(west: float, north: float, across: float, up: float, width: float, height: float) -> str:
    """Draw the land of an area in a plate carrée projection.

    Args:
        west: longitude of the left side, in degrees.
        north: latitude of the upper side, in degrees.
        across: pixels per degree of longitude.
        up: pixels per degree of latitude.
        width: width of the area, in pixels.
        height: height of the area, in pixels.

    Returns:
        Content of the attribute `d` of an SVG path with the fill rule `evenodd`, in tenths of a pixel from the upper
        left corner of the area; it ends a few pixels outside of the area. Empty if no land is there.
    """
    drawn = []
    for ring in land_rings():
        first, last = ring[:, 0].min(), ring[:, 0].max()
        turns = range(int(np.ceil((west - last) / 360)), int(np.floor((west + width / across - first) / 360)) + 1)
        for turn in turns:
            x, y = (ring[:, 0] + 360 * turn - west) * across, (north - ring[:, 1]) * up
            if y.max() >= 0 and y.min() <= height:
                clipped = _clipped(_thinned(np.stack([x, y], axis=1)), width, height)
                drawn.append(_ring_path(clipped))
    return "".join(drawn)


def _thinned(points: Points) -> Points:
    cells = np.round(points / _CELL)
    kept: Points = points[np.any(cells != np.roll(cells, 1, axis=0), axis=1)]
    return kept


def _clipped(points: Points, width: float, height: float) -> Sequence[tuple[float, float]]:
    """Clip a polygon to the area and its margin, side by side (Sutherland and Hodgman)."""
    ring = [(float(x), float(y)) for x, y in points]
    for axis, limit, sign in ((0, -_MARGIN, 1), (0, width + _MARGIN, -1), (1, -_MARGIN, 1), (1, height + _MARGIN, -1)):
        kept: list[tuple[float, float]] = []
        for before, point in zip([*ring[-1:], *ring[:-1]], ring, strict=True):
            was_inside, is_inside = (sign * (p[axis] - limit) >= 0 for p in (before, point))
            if was_inside != is_inside:
                share = (limit - before[axis]) / (point[axis] - before[axis])
                crossing = tuple(b + share * (p - b) for b, p in zip(before, point, strict=True))
                kept.append((crossing[0], crossing[1]))
            if is_inside:
                kept.append(point)
        ring = kept
    return ring


def _ring_path(ring: Sequence[tuple[float, float]]) -> str:
    """Write a ring with relative coordinates in tenths of a pixel; empty for fewer than three points."""
    if len(ring) < 3:
        return ""
    (x, y), *steps = np.diff(np.round(10 * np.array(ring)).astype(int), axis=0, prepend=[[0, 0]]).tolist()
    return f"M{x} {y}l{' '.join(f'{right} {down}' for right, down in steps)}z".replace(" -", "-")
