"""Tables as GeoPandas writes them; STAC-GeoParquet is in stac/test_geoparquet.py."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pyproj
import pytest
import shapely

from tests.support.ingesting import ingest_into
from tilepipe.components.ingest.sources.geoparquet_geometry import add_boxes
from tilepipe.components.shared.runtime.database import open_database

BOXES = [(10 + number, 50.0, 10.25 + number, 50.125) for number in range(12)]


def write(path, *, crs="OGC:CRS84", **columns):
    """Write twelve rows with their geometries, WKB unless a column replaces them."""
    shapes = [shapely.to_wkb(shapely.box(*box)) for box in BOXES]
    rows = {"image": [f"{n}.tif" for n in range(12)], "label": ["Forest", "River"] * 6, "geometry": shapes}
    column = {"encoding": "WKB", "geometry_types": ["Polygon"], "crs": pyproj.CRS(crs).to_json_dict()}
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
    table = pa.table(rows | columns).replace_schema_metadata({b"geo": json.dumps(geo).encode()})
    pq.write_table(table, path)
    return str(path)


def tiles(folder, **parameters):
    """Rows of the tile table, sorted by number."""
    ingest_into(folder, **parameters)
    rows = pq.read_table(folder / "tiles.parquet").to_pylist()
    return sorted(rows, key=lambda row: int(row["tile_id"].split(".")[0]))


def test_boxes_of_geometries_without_any(tmp_path):
    source = write(tmp_path / "tiles.parquet")
    rows = tiles(tmp_path, source=source, split_by="block", split_block_metres=1000)
    assert [tuple(row["bbox"].values()) for row in rows] == BOXES
    assert [shapely.from_wkb(row["geometry"]) for row in rows] == [shapely.box(*box) for box in BOXES]


def test_stated_boxes_and_rows_without_geometry(tmp_path):
    boxes = [{"xmin": 1.0, "ymin": 2.0, "xmax": 3.0, "ymax": 4.0}, *[None] * 11]
    shapes = [shapely.to_wkb(shapely.Point(7, 8))] * 10 + [None, shapely.to_wkb(shapely.Point())]
    rows = tiles(tmp_path, source=write(tmp_path / "tiles.parquet", bbox=boxes, geometry=shapes))
    found = [row["bbox"] and tuple(row["bbox"].values()) for row in rows]
    assert found == [(1.0, 2.0, 3.0, 4.0), *[(7.0, 8.0, 7.0, 8.0)] * 9, None, None]


@pytest.mark.parametrize("places", [{}, {"lon": [5.0] * 12, "lat": [6.0] * 12}])
def test_metres_are_not_taken_for_degrees(tmp_path, caplog, places):
    boxes = [{"xmin": 5e5, "ymin": 5e6, "xmax": 5e5 + 640, "ymax": 5e6 + 640}] * 12
    rows = tiles(tmp_path, source=write(tmp_path / "tiles.parquet", crs="EPSG:32633", bbox=boxes, **places))
    assert {row["geometry"] for row in rows} == {None}
    assert {row["bbox"] and tuple(row["bbox"].values()) for row in rows} == {(5.0, 6.0, 5.0, 6.0) if places else None}
    assert "which are in WGS 84 / UTM zone 33N, not in longitude and latitude (OGC:CRS84). Convert" in caplog.text


def test_boxes_are_added_a_batch_at_a_time():
    shapes = [shapely.to_wkb(shapely.box(*box)) for box in BOXES]
    with open_database() as connection:
        connection.register("given", pa.table({"number": range(12), "geometry": shapes}))
        connection.execute(
            "CREATE TABLE chosen AS SELECT number, geometry, NULL::STRUCT(xmin DOUBLE, ymin DOUBLE, xmax DOUBLE, "
            "ymax DOUBLE) AS bbox FROM given"
        )
        connection.execute("DELETE FROM chosen WHERE number IN (0, 6)")
        add_boxes(connection, batch_rows=5)
        found = connection.execute("SELECT number, bbox FROM chosen ORDER BY number").fetchall()
    assert [(number, tuple(box.values())) for number, box in found] == [
        (number, BOXES[number]) for number in range(12) if number not in {0, 6}
    ]
