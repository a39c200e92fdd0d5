"""Smallest distance between the tiles of two splits: a test tile next to a training tile inflates metrics."""

from collections.abc import Iterator
from itertools import combinations, product
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tilepipe.components.shared.contracts.manifest import SPLITS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

EARTH_RADIUS_METRES = 6_371_008.8
"""Mean radius of the WGS 84 ellipsoid: https://doi.org/10.1007/s001900050278."""

# West is greater than east where a box crosses the antimeridian: https://www.rfc-editor.org/rfc/rfc7946#section-5.2
CENTER = (
    "(bbox.xmin + bbox.xmax + CASE WHEN bbox.xmin > bbox.xmax THEN 360 ELSE 0 END) / 2",
    "(bbox.ymin + bbox.ymax) / 2",
)
"""SQL of the longitude, which may exceed 180, and the latitude of a tile's center."""
LOCATED = "bbox IS NOT NULL AND isfinite(bbox.xmin + bbox.xmax + bbox.ymin + bbox.ymax)"
"""SQL: True if a tile has coordinates."""

_SAMPLE = 1024
"""Maximum size of a sample whose points are all compared."""
_CANDIDATES_PER_POINT = 16
"""Average number of points that a point is compared with; if there are more, the points are thinned out first."""
_CANDIDATES_AT_ONCE = 1 << 20
_SMALLEST_CELL = 1e-6
"""About 6 m: the number of a cell, one of (2 / 1e-6)^3, must fit into 63 bits."""

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Runs = tuple[Integers, Integers, Integers, Integers]


def smallest_distance_metres(connection: "DuckDBPyConnection") -> dict[tuple[str, str], float | None]:
    """Compute the exact smallest distance between the tile centers of each pair of splits, on a sphere.

    Args:
        connection: a database with the table `tiles`, with `split` and `bbox`.

    Returns:
        Great-circle metres for (train, val), (train, test) and (val, test); 0 if two tiles share a center, None if one
        of the two splits has no coordinates.
    """
    found = connection.execute(
        f"""
        SELECT CASE WHEN abs(y) >= 90 THEN 0 ELSE x - 360 * floor((x + 180) / 360) END AS longitude,
            least(greatest(y, -90), 90) AS latitude,
            bit_or(CASE split WHEN 'train' THEN 1 WHEN 'val' THEN 2 ELSE 4 END)::UTINYINT AS splits
        FROM (SELECT {CENTER[0]} AS x, {CENTER[1]} AS y, split FROM tiles WHERE {LOCATED}) GROUP BY ALL
        """  # noqa: S608
    ).fetchnumpy()
    longitude, latitude = (np.radians(np.asarray(found[name])) for name in ("longitude", "latitude"))
    level = np.where(np.abs(found["latitude"]) >= 90, 0, np.cos(latitude))  # cos(pi / 2) is not exactly 0
    points = np.stack([level * np.cos(longitude), level * np.sin(longitude), np.sin(latitude)])
    masks = [(np.asarray(found["splits"]) >> bit & 1).astype(bool) for bit in range(len(SPLITS))]
    distances: dict[tuple[str, str], float | None] = {}
    for (one, first), (other, second) in combinations(zip(SPLITS, masks, strict=True), 2):
        few, many = sorted((first, second), key=np.count_nonzero)
        if not few.any():
            distances[one, other] = None
        elif (few & many).any():
            distances[one, other] = 0.0
        else:
            chord = _smallest_chord(points[:, few], points[:, many])
            distances[one, other] = float(2 * EARTH_RADIUS_METRES * np.arcsin(min(1.0, chord / 2)))
    return distances


def _smallest_chord(one: Floats, other: Floats) -> float:
    """Return the smallest Euclidean distance between two sets of points on the unit sphere, each `(3, points)`.

    The distance of every fourth point is an upper bound, so that only points in adjacent cells of that size have to be
    compared. If these are still too many, because the sets are far apart compared to the distances within them, the
    points are thinned out: one point of each smaller cell shows which cells may contain the closest pair.
    """
    bound = 2.0
    if max(one.shape[1], other.shape[1]) > _SAMPLE:
        bound = _smallest_chord(one[:, ::4], other[:, ::4])
    size = np.inf
    runs = _runs(one, other, bound)
    while runs[-1].sum() > _CANDIDATES_PER_POINT * (one.shape[1] + other.shape[1]) + _CANDIDATES_AT_ONCE:
        size = min(size / 2, bound / 8)
        if size < _SMALLEST_CELL:
            break
        both = [np.unique(_cells(points, size), return_index=True, return_inverse=True) for points in (one, other)]
        firsts, cells = [first for _, first, _ in both], [cell for _, _, cell in both]
        margin = 2 * 3**0.5 * size  # a point is at most a diagonal of the cell away from its representative
        nearest = [np.full(len(first), np.inf) for first in firsts]
        representatives = one[:, firsts[0]], other[:, firsts[1]]
        for i, j, distances in _near(*representatives, _runs(*representatives, bound + margin)):
            np.minimum.at(nearest[0], i, distances)
            np.minimum.at(nearest[1], j, distances)
        bound = min(bound, float(nearest[0].min()))
        kept = [(near <= bound + margin)[cell] for near, cell in zip(nearest, cells, strict=True)]
        if all(len(first) == points.shape[1] for first, points in zip(firsts, (one, other), strict=True)):
            return bound  # each point was its own representative
        one, other = one[:, kept[0]], other[:, kept[1]]
        runs = _runs(one, other, bound)
    return min([bound, *(float(distances.min()) for _, _, distances in _near(one, other, runs))])


def _cells(points: Floats, size: float) -> Integers:
    """Return the number of each point's cell; cells that are neighbors along the last axis have adjacent numbers."""
    x, y, z = ((points + 1) / size).astype(np.int64) + 1
    cells: Integers = (x * _row(size) + y) * _row(size) + z
    return cells


def _row(size: float) -> int:
    return int(2 / size) + 3


def _runs(one: Floats, other: Floats, radius: float) -> Runs:
    """Find for each point the points in the same and adjacent cells, which include all within the radius.

    Returns:
        The order of `other` by cell, indices into `one`, and for each of them start and length of a run in that order.
    """
    size = max(radius, _SMALLEST_CELL)
    cells = _cells(other, size)
    order = np.argsort(cells)
    middle = _cells(one, size)
    queries = np.argsort(middle)  # sorted queries are several times faster: they use the same part of the cache
    cells, middle = cells[order], middle[queries]
    found = []
    for x, y in product((-1, 0, 1), repeat=2):
        row = middle + (x * _row(size) + y) * _row(size)
        starts, ends = np.searchsorted(cells, row - 1), np.searchsorted(cells, row + 1, side="right")
        some = np.flatnonzero(ends > starts)
        found.append((queries[some], starts[some], (ends - starts)[some]))
    indices, starts, lengths = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return order, indices, starts, lengths


def _near(one: Floats, other: Floats, runs: Runs) -> Iterator[tuple[Integers, Integers, Floats]]:
    """Yield indices of the pairs of points in these runs, and their distances."""
    order, indices, starts, lengths = runs
    ends = np.cumsum(lengths)
    first = 0
    while first < len(indices):
        done = ends[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(ends, done + _CANDIDATES_AT_ONCE)))
        run = lengths[first:last]
        within = np.arange(run.sum()) - np.repeat(np.cumsum(run) - run, run)
        i, j = np.repeat(indices[first:last], run), order[np.repeat(starts[first:last], run) + within]
        yield i, j, np.sqrt(np.square(one[:, i] - other[:, j]).sum(axis=0))
        first = last
