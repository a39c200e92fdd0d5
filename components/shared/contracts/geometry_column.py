"""The GeoParquet metadata of tables that tilepipe writes: version 1.1.0, longitude and latitude (OGC:CRS84)."""

import json
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

CORNERS = ("xmin", "ymin", "xmax", "ymax")
"""Fields of a bounding box: west, south, east, north."""

_GEOMETRY_TYPES = (
    "Geometry",
    "Point",
    "LineString",
    "Polygon",
    "MultiPoint",
    "MultiLineString",
    "MultiPolygon",
    "GeometryCollection",
)


@dataclass
class GeometryColumn:
    """Accumulator of the GeoParquet 1.1 metadata of a column `geometry`, with boxes in a column `bbox`."""

    types: set[str] = field(default_factory=set)
    corners: dict[str, float] = field(default_factory=dict)

    def add(self, table: pa.Table) -> None:
        """Take in the geometries and boxes of some rows."""
        shapes = table["geometry"].drop_null()
        for head in pc.unique(pc.binary_slice(shapes, 0, 5)).to_pylist():
            self.types.add(_geometry_type(bytes(head or b"")))
        boxes = table["bbox"].combine_chunks()
        if boxes.null_count < len(boxes):
            for name, smallest in (("xmin", True), ("ymin", True), ("xmax", False), ("ymax", False)):
                values = pc.struct_field(boxes, name)
                value = (pc.min if smallest else pc.max)(values).as_py()
                known = self.corners.get(name, value)
                self.corners[name] = min(known, value) if smallest else max(known, value)

    def metadata(self) -> str:
        """Return the value of the key `geo` of the file."""
        # https://geoparquet.org/releases/v1.1.0/; no `crs` means OGC:CRS84
        covering = {name: ["bbox", name] for name in CORNERS}
        column: dict[str, Any] = {
            "encoding": "WKB",
            "geometry_types": sorted(self.types),
            "covering": {"bbox": covering},
        }
        if self.corners:
            column["bbox"] = [self.corners[name] for name in CORNERS]
        found = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
        return json.dumps(found, sort_keys=True)


def _geometry_type(shape: bytes) -> str:
    """Return the GeoParquet name of a WKB geometry's type, from its first five bytes."""
    code = int.from_bytes(shape[1:5], "little" if shape[0] == 1 else "big")
    has_z = bool(code & 0x80000000) or code % 10000 // 1000 == 1  # the flags of EWKB and ISO WKB
    name = _GEOMETRY_TYPES[(code & 0xFFFF) % 1000]
    return f"{name} Z" if has_z else name
