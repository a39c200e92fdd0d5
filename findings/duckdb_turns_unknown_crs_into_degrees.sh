#!/usr/bin/env bash
# GeoParquet without a coordinate system becomes longitude and latitude when DuckDB rewrites it.
#
# Expected: `"crs": null`, GeoParquet's way to say that the coordinate system is unknown, is still null in the copy.
# Observed (DuckDB 2.0.0, GeoPandas 1.2.0): the copy has no `crs` at all, which GeoParquet defines as OGC:CRS84.
# Footprints in UTM metres are then degrees: GeoPandas names the copy's system, and to_crs gives infinite
# coordinates. The original raises in to_crs. Giving `geoparquet_version` changes nothing.
# Why it matters: a filter or a sort of an Earth observation catalog by SQL places its tiles nowhere, and the
# check that would have asked for the missing system passes.
# Source: the GeoParquet 1.1 specification, field `crs`.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.0 geopandas==1.2.0 pyarrow==25.0.1 shapely==2.2.0 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import json
import sys

import duckdb
import geopandas
import numpy as np
import pyarrow.parquet
from shapely.geometry import box

footprint = box(500000, 5000000, 500640, 5000640)
geopandas.GeoDataFrame({"tile": [1]}, geometry=[footprint], crs=None).to_parquet("written.parquet")
connection = duckdb.connect()
connection.execute("COPY (FROM 'written.parquet') TO 'copied.parquet'")
for version in ("V1", "V2"):
    connection.execute(f"COPY (FROM 'written.parquet') TO 'copied{version}.parquet' (GEOPARQUET_VERSION '{version}')")


def crs(name):
    column = json.loads(pyarrow.parquet.read_metadata(name).metadata[b"geo"])["columns"]["geometry"]
    return repr(column["crs"]) if "crs" in column else "absent"


def reprojected(name):
    tiles = geopandas.read_parquet(name)
    try:
        moved = tiles.to_crs("EPSG:3857")
    except ValueError:
        return str(tiles.crs), "raises"
    return str(tiles.crs), "finite" if np.isfinite(moved.total_bounds).all() else "not finite"


names = ("written.parquet", "copied.parquet", "copiedV1.parquet", "copiedV2.parquet")
seen = {name: (crs(name), *reprojected(name)) for name in names}
print("duckdb", duckdb.__version__, "geopandas", geopandas.__version__, "pyarrow", pyarrow.__version__)
print("file, crs in its metadata, crs in GeoPandas, to_crs:")
for name, what in seen.items():
    print(" ", name, *what)
copies = {what for name, what in seen.items() if name != "written.parquet"}
sys.exit(0 if seen["written.parquet"] == ("None", "None", "raises")
         and copies == {("absent", "OGC:CRS84", "not finite")} else 1)
PYTHON
