"""The outline of a grid on the Earth, as GeoJSON."""

import math
from collections.abc import Sequence
from typing import Any

from tilepipe.components.predict_scenes.output.class_map import MapGrid
from tilepipe.components.predict_scenes.scene.affine_maps import locate

_POINTS_PER_SIDE = 5
_POLE = 90 - 1e-6
"""Latitude beyond which a place has no longitude of its own."""

_DIGITS = 7
"""Decimal places of degrees, about a centimetre."""

Place = tuple[float, float]
"""Longitude and latitude."""


def footprint(grid: MapGrid) -> tuple[dict[str, Any], list[float]]:
    """Return the outline of a grid in degrees (WGS 84) as GeoJSON, and its bounding box.

    Sides have intermediate points, since straight lines of a projection are curves in degrees. A grid across the
    antimeridian becomes two polygons, and its box has a west above its east (RFC 7946, sections 3.1.9 and 5.2). The
    outline of a grid with a pole inside reaches from 180° west to 180° east, and to the pole.
    """
    import shapely
    from rasterio.warp import transform

    steps = [place / (_POINTS_PER_SIDE - 1) for place in range(_POINTS_PER_SIDE)]
    width, height = grid.width, grid.height
    corners = (
        [(0.0, height * step) for step in steps]
        + [(width * step, float(height)) for step in steps[1:]]
        + [(float(width), height * (1 - step)) for step in steps[1:]]
        + [(width * (1 - step), 0.0) for step in steps[1:]]
    )
    if grid.transform.determinant > 0:  # the image is not mirrored, as it usually is with rows that run south
        corners.reverse()
    places = [locate(grid.transform, *corner) for corner in corners]
    longitudes, latitudes = transform(grid.crs, "OGC:CRS84", *zip(*places, strict=True))
    rings = _rings(_continuous(list(zip(longitudes, latitudes, strict=True))))
    boxes = [shapely.LineString(ring).bounds for ring in rings]
    box = [boxes[0][0], min(south for _, south, _, _ in boxes), boxes[-1][2], max(north for *_, north in boxes)]
    if len(rings) == 1:
        return {"type": "Polygon", "coordinates": rings}, box
    return {"type": "MultiPolygon", "coordinates": [[ring] for ring in rings]}, box


def _continuous(ring: Sequence[Place]) -> list[Place]:
    """Return a closed ring without steps of more than 180 degrees; longitudes may leave -180 to 180."""
    poles = [place for place, (_, latitude) in enumerate(ring[:-1]) if abs(latitude) > _POLE]
    has_pole = len(poles) == 1  # several are a side along a pole, in a projection with parallel meridians
    if has_pole:
        ring = [*ring[poles[0] + 1 : -1], *ring[: poles[0]]]
    found = [ring[0]]
    for longitude, latitude in ring[1:]:
        turns = round((found[-1][0] - longitude) / 360)
        found.append((longitude + 360 * turns, latitude))
    if has_pole or abs(found[-1][0] - found[0][0]) > 180:  # the pole is at the edge, or inside
        pole = math.copysign(90.0, found[0][1])
        found += [(found[-1][0], pole), (found[0][0], pole), found[0]]
    return found


def _rings(ring: Sequence[Place]) -> list[list[list[float]]]:
    """Divide a ring at the antimeridian, from west to east; rings are counterclockwise."""
    import numpy as np
    import shapely

    whole = shapely.Polygon(np.round(ring, _DIGITS))
    west, _, east, _ = whole.bounds
    first, last = math.floor((west + 180) / 360), math.ceil((east + 180) / 360)
    parts = []
    for turn in range(first, max(last, first + 1)):
        inside = shapely.box(360 * turn - 180, -90, 360 * turn + 180, 90)
        part = whole.intersection(inside) if last - first > 1 else whole
        if part.area:
            # Rounded again, both sides of a cut have the same longitude, so that they can be united.
            parts.append(shapely.transform(part, lambda places, back=360 * turn: np.round(places - (back, 0), _DIGITS)))
    if east - west > 359:  # all around the Earth: both ends are at one meridian
        parts = [shapely.union_all(parts)]
    outlines = [shapely.geometry.polygon.orient(part).exterior.coords for part in parts]
    return [[[x, y] for x, y in outline] for outline in outlines]
