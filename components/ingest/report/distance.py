"""Smallest distance between the tiles of two splits: a test tile next to a training tile inflates metrics."""

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tilepipe.components.shared.contracts.manifest import SPLITS, Split

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

_FIRST_QUERIES = 1024
"""Number of points in the first batch of queries; each further batch is four times as large."""


def smallest_distance_metres(connection: "DuckDBPyConnection") -> dict[tuple[Split, Split], float | None]:
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
    points = np.stack([level * np.cos(longitude), level * np.sin(longitude), np.sin(latitude)], axis=1)
    masks = [(np.asarray(found["splits"]) >> bit & 1).astype(bool) for bit in range(len(SPLITS))]
    distances: dict[tuple[Split, Split], float | None] = {}
    for (one, first), (other, second) in combinations(zip(SPLITS, masks, strict=True), 2):
        few, many = sorted((first, second), key=np.count_nonzero)
        if not few.any():
            distances[one, other] = None
        elif (few & many).any():
            distances[one, other] = 0.0
        else:
            chord = _smallest_chord(points[few], points[many])
            distances[one, other] = float(2 * EARTH_RADIUS_METRES * np.arcsin(min(1.0, chord / 2)))
    return distances


def _smallest_chord(few: npt.NDArray[np.float64], many: npt.NDArray[np.float64]) -> float:
    """Return the smallest Euclidean distance between two sets of points on the unit sphere, each `(points, 3)`."""
    from scipy.spatial import KDTree

    tree = KDTree(many, compact_nodes=False)  # compact nodes make queries of distant sets a hundred times slower
    # In random order, so that the first queries find a small distance, which makes the others fast.
    few = np.random.default_rng(0).permutation(few)
    smallest, done, batch = np.inf, 0, _FIRST_QUERIES
    while done < len(few):
        nearest, _ = tree.query(few[done : done + batch], distance_upper_bound=smallest)
        smallest = min(smallest, float(nearest.min()))
        done, batch = done + batch, 4 * batch
    return smallest
