"""Geometries of a GeoParquet file: https://geoparquet.org/releases/v1.1.0/."""

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tilepipe.components.ingest.sources.duckdb_files import fields
from tilepipe.components.shared.contracts.geometry_column import CORNERS
from tilepipe.components.shared.runtime.database import quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from duckdb.sqltypes import DuckDBPyType

logger = logging.getLogger("tilepipe.ingest")

TO_DEGREES = (
    "Convert it, for example with geopandas: "
    "read_parquet(...).to_crs('OGC:CRS84').to_parquet(..., write_covering_bbox=True)."
)

_GEOARROW = {
    "point": ("Point", 0),
    "linestring": ("LineString", 1),
    "multipoint": ("MultiPoint", 1),
    "polygon": ("Polygon", 2),
    "multilinestring": ("MultiLineString", 2),
    "multipolygon": ("MultiPolygon", 3),
}
"""Encoding in GeoParquet 1.1 -> type in GeoJSON, and how many lists are around a point."""


def projected_crs(metadata: Sequence[Any]) -> str:
    """Return the name of the reference system of geometries and boxes that are not longitude and latitude, else "".

    Args:
        metadata: the GeoParquet metadata (`geo`) of the files.
    """
    for stated in metadata:
        crs = _column(stated)[1].get("crs")
        if isinstance(crs, dict):
            parts = crs.get("components")  # of one with heights too, the horizontal one first
            horizontal = parts[0] if isinstance(parts, list) and parts and isinstance(parts[0], dict) else crs
            named, is_geographic = crs.get("name"), horizontal.get("type", "GeographicCRS") == "GeographicCRS"
        else:  # WKT before version 0.4; none means degrees
            named, is_geographic = str(crs)[:60], crs is None or str(crs).startswith(("GEOG", "GEODCRS"))
        if not is_geographic:
            return str(named)
    return ""


def as_wkb(types: "Mapping[str, DuckDBPyType]", metadata: Sequence[Any], shown: str) -> str:
    """Return an expression for the geometry as WKB; NULL, with a warning, for a column in another encoding."""
    name, stated = _column(metadata[0] if metadata else None, types)
    kind = types.get(name)
    if kind is None:
        return "NULL"
    if kind.id == "blob":
        return quoted(name)
    if str(kind).startswith("GEOMETRY"):
        return f"ST_AsWKB({quoted(name)})"
    form, depth = _GEOARROW.get(str(stated.get("encoding")), ("", 0))
    for _ in range(depth):
        kind = fields(kind).get("child", kind)
    axes = [f"p0.{axis}" for axis in ("x", "y", "z") if axis in fields(kind)]
    if not form or len(axes) < 2:
        logger.warning(
            "ignored the geometries of %s: %s in the column %s, which are neither WKB nor GeoArrow's points and rings",
            *(shown, types[name], name),
        )
        return "NULL"
    lists = f"[{', '.join(axes)}]"
    for level in range(depth):
        lists = f"[{lists} FOR p{level} IN p{level + 1}]"
    lists = f"list_transform([{quoted(name)}], lambda p{depth}: {lists})[1]"
    geojson = f"json_object('type', '{form}', 'coordinates', {lists})::VARCHAR"
    return f"CASE WHEN {quoted(name)} IS NOT NULL THEN ST_AsWKB(ST_GeomFromGeoJSON({geojson})) END"


def add_boxes(connection: "DuckDBPyConnection", batch_rows: int = 100_000) -> None:
    """Give the rows of `chosen` that have a geometry but no box that of the geometry, a batch at a time."""
    query = (
        "SELECT rowid AS row, geometry FROM chosen "
        "WHERE bbox IS NULL AND geometry IS NOT NULL AND rowid BETWEEN ? AND ? ORDER BY rowid"
    )
    packed = ", ".join(f"{name} := boxes.{name}" for name in CORNERS)
    (last,) = connection.execute("SELECT coalesce(max(rowid), -1) FROM chosen").fetchall()[0]
    for first in range(0, last + 1, batch_rows):
        found = connection.sql(query, params=[first, first + batch_rows - 1]).to_arrow_table()
        if not found.num_rows:
            continue
        import shapely  # only where there are geometries: it takes a fifth of a second

        corners = shapely.bounds(shapely.from_wkb(found["geometry"].to_pylist(), on_invalid="ignore")).reshape(-1, 4)
        # NaN, which becomes NULL, without coordinates
        boxes = [pa.array(column, from_pandas=True) for column in corners.T.copy()]
        connection.register("boxes", pa.table([found["row"], *boxes], ["row", *CORNERS]))
        connection.execute(
            f"UPDATE chosen SET bbox = struct_pack({packed}) FROM boxes "  # noqa: S608
            "WHERE chosen.rowid = boxes.row AND boxes.xmin IS NOT NULL"
        )
        connection.unregister("boxes")


def _column(stated: object, columns: Collection[str] = ()) -> tuple[str, dict[str, Any]]:
    """Return name and metadata of the column `geometry`, or of the primary column if the file has no such column."""
    known = stated.get("columns") if isinstance(stated, dict) else None
    known = known if isinstance(known, dict) else {}
    name = "geometry"
    if isinstance(stated, dict) and name not in {*columns, *known}:
        name = str(stated.get("primary_column", name))
    column = known.get(name)
    return name, column if isinstance(column, dict) else {}
