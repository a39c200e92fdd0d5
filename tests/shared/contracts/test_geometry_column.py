"""Tests of the GeoParquet metadata; tests of the tile table read files with it."""

import json

import pyarrow as pa
import shapely

from tilepipe.components.shared.contracts.geometry_column import CORNERS, GeometryColumn


def test_types_and_corners_are_those_of_all_rows():
    column = GeometryColumn()
    for shape in (shapely.Point(1, 2), shapely.box(-5, 0, 3, 9), None):
        box = None if shape is None else dict(zip(CORNERS, shape.bounds, strict=True))
        wkb = None if shape is None else shapely.to_wkb(shape)
        kind = pa.struct([(name, pa.float64()) for name in CORNERS])
        column.add(pa.table({"geometry": pa.array([wkb], pa.binary()), "bbox": pa.array([box], kind)}))
    found = json.loads(column.metadata())
    assert found["version"] == "1.1.0"
    assert found["columns"]["geometry"]["geometry_types"] == ["Point", "Polygon"]
    assert found["columns"]["geometry"]["bbox"] == [-5, 0, 3, 9]
    assert "crs" not in found["columns"]["geometry"]
