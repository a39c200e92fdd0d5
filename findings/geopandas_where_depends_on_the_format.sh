#!/usr/bin/env bash
# One `where` of GeoPandas selects other rows of a GeoPackage than of a GeoJSON, FlatGeobuf or Shapefile.
#
# Expected: `read_file(..., where="label = 'forest'")` compares text as SQL does, by its letters, in whatever format the
# rows are; if anything ignores case, then LIKE as in SQLite.
# Observed (geopandas 1.2.0, pyogrio 0.13.0 with GDAL 3.12.4): in GeoJSON, FlatGeobuf and Shapefile, `=`, `<>`, `IN` and
# `NOT IN` ignore case: 'forest' also selects Forest and FOREST, 300 rows instead of 100. LIKE does not: `LIKE 'for%'`
# selects 100. In a GeoPackage each is the other way round: `=` selects 100 rows and LIKE 300. `IN ('Forest')` and `=
# 'FOREST'` take the same 300 rows. Nothing warns.
# Why it matters: classes and codes that differ by case only are usual where label sets are joined (`Sea` of one and `SEA`
# of another, plot a and plot A). A training set changes with the file format, and a condition tried on GeoJSON leaves
# rows out of the GeoPackage. In pandas, `frame[frame.label == "forest"]` selects the same 100 rows for all formats.
# Source: https://gdal.org/en/stable/user/ogr_sql_dialect.html (WHERE) and
# https://geopandas.org/en/stable/docs/reference/api/geopandas.read_file.html (where).
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check geopandas==1.2.0 pyogrio==0.13.0 shapely==2.2.0 \
  pandas==3.1.1 numpy==2.4.6 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import geopandas
import numpy as np
import pyogrio
import shapely

labels = np.tile(["forest", "Forest", "FOREST", "water"], 100)
west = np.arange(400) * 1280 + 200_000
tiles = geopandas.GeoDataFrame(
    {"label": labels}, geometry=shapely.box(west, 5_000_000, west + 1280, 5_001_280), crs="EPSG:32633"
)
print("geopandas", geopandas.__version__, "pyogrio", pyogrio.__version__, "GDAL", pyogrio.__gdal_version_string__)
conditions = (
    "label = 'forest'",
    "label = 'FOREST'",
    "label IN ('Forest')",
    "label <> 'forest'",
    "label NOT IN ('forest')",
    "label LIKE 'for%'",
)
found = {}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for name in ("tiles.gpkg", "tiles.geojson", "tiles.fgb", "tiles.shp"):
        tiles.to_file(name)
        found[name] = [len(geopandas.read_file(name, where=condition)) for condition in conditions]
        print(f"  {name}:", ", ".join(f"{one}: {rows}" for one, rows in zip(conditions, found[name], strict=True)))
    pandas = {name: int((geopandas.read_file(name).label == "forest").sum()) for name in found}
    print('  rows by pandas for label == "forest":', pandas)
print("  warnings:", [str(one.message) for one in caught])
as_recorded = (
    found.pop("tiles.gpkg") == [100, 100, 100, 300, 300, 300]
    and all(rows == [300, 300, 300, 100, 100, 100] for rows in found.values())
    and set(pandas.values()) == {100}
    and not caught
)
sys.exit(0 if as_recorded else 1)
PYTHON
