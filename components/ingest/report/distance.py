"""Smallest distance between the tiles of two splits: a test tile next to a training tile inflates metrics."""

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tilepipe.components.shared.contracts.manifest import SPLITS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

EARTH_RADIUS_METRES = 6_371_008.8
"""The mean radius, as the WGS 84 ellipsoid has it: https://doi.org/10.1007/s001900050278"""

# Where a box crosses the antimeridian its west is greater than its east: https://www.rfc-editor.org/rfc/rfc7946#section-5.2
CENTRE = (
    "(bbox.xmin + bbox.xmax + CASE WHEN bbox.xmin > bbox.xmax THEN 360 ELSE 0 END) / 2",
    "(bbox.ymin + bbox.ymax) / 2",
)
"""SQL of the longitude, which may exceed 180, and the latitude of a tile's center."""
LOCATED = "bbox IS NOT NULL AND isfinite(bbox.xmin + bbox.xmax + bbox.ymin + bbox.ymax)"
"""SQL: True if a tile has coordinates."""

_FANOUT = 8
_PAIRS_AT_ONCE = 1 << 14
"""So many pairs of boxes have some million pairs of children: about 100 MB."""
_CANDIDATES = 1 << 26
"""So many pairs of points are looked at one by one, some seconds' work, before boxes are tried instead."""
_CANDIDATES_AT_ONCE = 1 << 20

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


def smallest_distance_metres(connection: "DuckDBPyConnection") -> dict[tuple[str, str], float | None]:
    """Compute the smallest distance between the tile centers of each two splits, exactly, on a sphere.

    A distance that occurs comes from points that are next to each other on a curve that fills the map. Where the splits
    are mixed it is short, and few points are nearer than that to one of the other split: they are all looked at. Where
    the splits lie apart it is long, and whole boxes of points can be left out instead.

    Args:
        connection: has the table `tiles`, with `split` and `bbox`.

    Returns:
        Great-circle metres for (train, val), (train, test) and (val, test); 0 where two tiles share a centre, None
        where one of the two splits has no coordinates.
    """
    longitude, latitude = CENTRE
    found = connection.execute(
        f"""
        SELECT {longitude} AS longitude, {latitude} AS latitude,
            bit_or(CASE split WHEN 'train' THEN 1 WHEN 'val' THEN 2 ELSE 4 END)::UTINYINT AS splits
        FROM tiles WHERE split IN ('train', 'val', 'test') AND {LOCATED} GROUP BY ALL
        """  # noqa: S608
    ).fetchnumpy()
    splits = np.asarray(found["splits"])
    degrees, points, order = _on_the_sphere(np.asarray(found["longitude"]), np.asarray(found["latitude"]))
    degrees, points, splits = degrees[:, order], points[:, order], splits[order]
    near = _near_pairs(points, splits)
    masks = {split: (splits >> bit & 1).astype(bool) for bit, split in enumerate(SPLITS)}
    distances: dict[tuple[str, str], float | None] = {}
    for one, other in combinations(SPLITS, 2):
        few, many = sorted((masks[one], masks[other]), key=np.count_nonzero)
        if not few.any():
            distances[one, other] = None
            continue
        bound = near[one, other]
        square = _by_bands(degrees[:, few], points[:, few], degrees[:, many], points[:, many], bound)
        if square is None:
            square = _by_boxes(_Tree.of(points[:, few]), _Tree.of(points[:, many]), bound)
        distances[one, other] = float(2 * EARTH_RADIUS_METRES * np.arcsin(min(1.0, square**0.5 / 2)))
    return distances


def _on_the_sphere(longitude: Floats, latitude: Floats) -> tuple[Floats, Floats, Places]:
    """Return degrees, `(2, points)`, unit vectors, `(3, points)`, and the order along a space-filling curve."""
    longitude = np.where(longitude >= 180, longitude - 360, longitude)
    longitude = np.where(longitude < -180, longitude + 360, longitude)
    pole = np.abs(latitude) >= 90  # all longitudes are one point there, which the cosine of pi/2 is not quite
    latitude, longitude = np.clip(latitude, -90, 90), np.where(pole, 0.0, longitude)
    across, up = np.radians(longitude), np.radians(latitude)
    level = np.where(pole, 0.0, np.cos(up))
    points = np.stack([level * np.cos(across), level * np.sin(across), np.sin(up)])
    cells = [
        _spread(((value - low) / span * (2**32 - 1)).astype(np.uint64))
        for value, low, span in ((longitude, -180, 360), (latitude, -90, 180))
    ]
    return np.stack([longitude, latitude]), points, np.argsort(cells[0] | cells[1] << np.uint64(1), kind="stable")


def _spread(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    # Puts a 0 before each bit: https://graphics.stanford.edu/~seander/bithacks.html#InterleaveBMN
    for shift, mask in (
        (16, 0x0000FFFF0000FFFF),
        (8, 0x00FF00FF00FF00FF),
        (4, 0x0F0F0F0F0F0F0F0F),
        (2, 0x3333333333333333),
        (1, 0x5555555555555555),
    ):
        values = (values | values << np.uint64(shift)) & np.uint64(mask)
    return values


def _near_pairs(points: Floats, splits: npt.NDArray[Any]) -> dict[tuple[str, str], float]:
    """Return an upper bound for each two splits: the smallest square of a distance of points adjacent on the curve."""
    near: dict[tuple[str, str], float] = {}
    for (i, one), (j, other) in combinations(enumerate(SPLITS), 2):
        masks = (1 << i, 1 << j)
        wanted = np.flatnonzero(splits & (masks[0] | masks[1]))
        both = (splits[wanted] & masks[0] != 0) & (splits[wanted] & masks[1] != 0)
        if both.any():
            near[one, other] = 0.0
            continue
        changes = np.flatnonzero((splits[wanted[1:]] & masks[0]) != (splits[wanted[:-1]] & masks[0]))
        first, second = wanted[changes], wanted[changes + 1]
        near[one, other] = float(_squares(points[:, first] - points[:, second]).min(initial=np.inf))
    return near


def _squares(difference: Floats) -> Floats:
    # Always in this order: so a bound of a box rounds no higher than the distance of a point in it.
    x, y, z = difference
    square: Floats = x * x + y * y + z * z
    return square


def _by_bands(few_degrees: Floats, few: Floats, many_degrees: Floats, many: Floats, bound: float) -> float | None:
    """Return the smallest square of a distance between two sets of points, given an upper bound.

    The larger set is sorted by bands of latitude as high as that distance, and by longitude within them: what may be
    nearer than it to a point of the smaller set lies in three runs. None where the runs hold too much.
    """
    if not bound:
        return 0.0
    reach = 2 * np.arcsin(min(1.0, bound**0.5 / 2)) * (1 + 1e-9) + 1e-12
    height = max(np.degrees(reach), 1e-6)
    keys = _band(many_degrees[1], height) << 32 | _longitude(many_degrees[0])
    order = np.argsort(keys)
    keys, many = keys[order], many[:, order]
    # The furthest longitude of a circle around a point: https://janmatuschek.de/LatitudeLongitudeBoundingCoordinates
    latitude = np.radians(few_degrees[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        width = np.degrees(np.arcsin(np.sin(reach) / np.cos(latitude)))
    width = np.where(np.abs(latitude) + reach < np.pi / 2, width, 180.0)
    queries: list[tuple[Places, Places, Places]] = []
    total = 0
    for turn in (0, -360, 360):
        west, east = few_degrees[0] + turn - width, few_degrees[0] + turn + width
        places = np.flatnonzero((east >= -180) & (west <= 180))
        low, high = _longitude(west[places]) - 1, _longitude(east[places]) + 2
        band = _band(few_degrees[1][places], height)
        for step in (-1, 0, 1):
            start = np.searchsorted(keys, (band + step << 32) + low)
            end = np.searchsorted(keys, (band + step << 32) + high)
            some = end > start
            queries.append((places[some], start[some], end[some] - start[some]))
            total += int(queries[-1][2].sum())
    if total > _CANDIDATES:
        return None
    return min(bound, *(_nearest(few, many, *query) for query in queries))


def _band(latitude: Floats, height: float) -> Places:
    return ((latitude + 90) / height).astype(np.int64) + 1


def _longitude(longitude: Floats) -> Places:
    # Two centimetres at the equator; one more on either side is looked at.
    cells: Places = np.clip((longitude + 180) / 360 * 2**31, 1, 2**31 - 2).astype(np.int64)
    return cells


def _nearest(few: Floats, many: Floats, places: Places, starts: Places, counts: Places) -> float:
    """Return the smallest square of a distance between each of `places` and its run of others."""
    ends = np.cumsum(counts)
    nearest, first = np.inf, 0
    while first < len(places):
        done = ends[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(ends, done + _CANDIDATES_AT_ONCE)))
        run = counts[first:last]
        within = np.arange(run.sum()) - np.repeat(np.cumsum(run) - run, run)
        others = np.repeat(starts[first:last], run) + within
        nearest = min(nearest, float(_squares(few[:, np.repeat(places[first:last], run)] - many[:, others]).min()))
        first = last
    return nearest


@dataclass(frozen=True)
class _Tree:
    """Points in the order of the curve, and boxes around groups of 8, 64 and so on up to one box."""

    points: Floats
    """`(3, points)`."""
    lows: tuple[Floats, ...]
    """A level an element, `(3, boxes)`, the finest first; the points themselves are the level before."""
    highs: tuple[Floats, ...]

    @classmethod
    def of(cls, points: Floats) -> "_Tree":
        lows, highs = [], []
        low = high = points
        while low.shape[1] > 1:
            starts = np.arange(0, low.shape[1], _FANOUT)
            low, high = np.minimum.reduceat(low, starts, axis=1), np.maximum.reduceat(high, starts, axis=1)
            lows.append(low)
            highs.append(high)
        return cls(points, tuple(lows), tuple(highs))

    def box(self, level: int) -> tuple[Floats, Floats]:
        return (self.lows[level - 1], self.highs[level - 1]) if level else (self.points, self.points)

    def children(self, level: int, boxes: Places) -> Places:
        """Return the indices of the children of boxes, `(boxes, 8)`; the last one is repeated if there are fewer."""
        if not level:
            return boxes[:, None]
        last = self.box(level - 1)[0].shape[1] - 1
        children: Places = np.minimum(boxes[:, None] * _FANOUT + np.arange(_FANOUT), last)
        return children


def _by_boxes(one: _Tree, other: _Tree, bound: float) -> float:
    """Return the smallest square of a distance between points of two trees, given an upper bound."""
    root = np.zeros(1, np.int64)
    todo = [(len(one.lows), len(other.lows), root, root, np.zeros(1))]
    if todo[0][:2] == (0, 0):
        return min(bound, float(_squares(one.points[:, 0] - other.points[:, 0])))
    while todo:
        i, j, first, second, gaps = todo.pop()
        kept = np.flatnonzero(gaps < bound)
        if len(kept) > _PAIRS_AT_ONCE:
            # Nearest first: what they give saves opening the others.
            kept = kept[np.argpartition(gaps[kept], _PAIRS_AT_ONCE)]
            later = kept[_PAIRS_AT_ONCE:]
            todo.append((i, j, first[later], second[later], gaps[later]))
            kept = kept[:_PAIRS_AT_ONCE]
        first, second = first[kept], second[kept]
        down, across = max(i - (i >= j), 0), max(j - (j >= i), 0)
        inner = one.children(i, first) if i >= j else first[:, None]
        outer = other.children(j, second) if j >= i else second[:, None]
        gaps = _gaps(one.box(down), inner, other.box(across), outer)
        if not (down or across):
            bound = min(bound, float(gaps.min(initial=np.inf)))
            continue
        row, left, right = np.nonzero(gaps < bound)
        todo.append((down, across, inner[row, left], outer[row, right], gaps[row, left, right]))
    return bound


def _gaps(one: tuple[Floats, Floats], inner: Places, other: tuple[Floats, Floats], outer: Places) -> Floats:
    """Return the squares of the gaps between boxes, `(pairs, inner, outer)`; 0 where they overlap."""
    total: Floats | None = None
    for axis in range(3):
        low, high = (side[axis][inner][:, :, None] for side in one)
        other_low, other_high = (side[axis][outer][:, None, :] for side in other)
        gap = np.maximum(low - other_high, other_low - high)
        np.maximum(gap, 0, out=gap)
        gap *= gap
        # Summed in the order of `_squares`: then rounding never lifts a box's bound above the distance of its points.
        total = gap if total is None else np.add(total, gap, out=total)
    if total is None:
        raise ValueError("there are three axes")
    return total
