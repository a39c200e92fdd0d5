"""Make components/shared/pages/land.json.gz from Natural Earth's land.

    npm pack world-atlas@2.0.2 && tar xzf world-atlas-2.0.2.tgz
    .venv/bin/python -m tests.support.make_land package/land-50m.json components/shared/pages/land.json.gz

The npm package world-atlas holds Natural Earth 4.1 (public domain) as TopoJSON.
"""

import gzip
import json
import sys
from pathlib import Path

import numpy as np
from shapely.geometry import LineString, Polygon

from tilepipe.components.shared.pages.land import UNITS_PER_DEGREE

TOLERANCE_DEGREES = 0.04
SMALLEST_SQUARE_DEGREES = 0.005
"""Smaller islands and inland seas are left out: less than about 60 square kilometres."""


def land_of(topology: Path) -> bytes:
    """Simplify the land of a TopoJSON file; returns JSON."""
    document = json.loads(topology.read_text(encoding="utf-8"))
    scale, start = document["transform"]["scale"], document["transform"]["translate"]
    arcs = [np.cumsum(np.array(arc), axis=0) * scale + start for arc in document["arcs"]]
    (land,) = document["objects"]["land"]["geometries"]
    rings = []
    for ring in (_closed(_points(numbers, arcs)) for polygon in land["arcs"] for numbers in polygon):
        if Polygon(ring).area >= SMALLEST_SQUARE_DEGREES:
            simplified = np.array(LineString(ring).simplify(TOLERANCE_DEGREES).coords)
            units = np.round(simplified * UNITS_PER_DEGREE).astype(int)
            rings.append(np.diff(units, axis=0, prepend=[[0, 0]]).reshape(-1).tolist())
    return json.dumps(rings, separators=(",", ":")).encode()


def _points(numbers, arcs):
    """Join arcs, of which a negative number means the reverse, without jumps at the antimeridian."""
    parts = [arcs[number] if number >= 0 else arcs[~number][::-1] for number in numbers]
    points = np.concatenate([parts[0], *(part[1:] for part in parts[1:])])
    points[:, 0] = np.unwrap(points[:, 0], period=360)
    return points


def _closed(ring):
    """Close the coast of Antarctica, which goes around the earth, at the pole."""
    if abs(ring[-1, 0] - ring[0, 0]) < 180:
        return ring
    return np.concatenate([ring, [[ring[-1, 0], -90.0], [ring[0, 0], -90.0]], ring[:1]])


def main() -> None:
    """Write the file."""
    source, target = map(Path, sys.argv[1:])
    target.write_bytes(gzip.compress(land_of(source), 9, mtime=0))


if __name__ == "__main__":
    main()
