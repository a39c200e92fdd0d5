#!/usr/bin/env bash
# GeoPandas reads a FlatGeobuf file in another order than it was written, and numbers the rows anew.
#
# Expected: `read_file` gives the rows in the order in which `to_file` wrote them, in every format, or the numbers of the
# rows (`fid_as_index`) show what has moved.
# Observed (geopandas 1.2.0, pyogrio 0.13.0 with GDAL 3.12.4): FlatGeobuf's driver sorts the features along a Hilbert
# curve for its spatial index, which is on by default. Of 400 tiles in rows of 20, none comes back in its place; the FIDs
# count 0 to 399 in the new order. GeoPackage, GeoJSON and Shapefile keep the order, and so does `SPATIAL_INDEX="NO"`.
# Labels, embeddings or predictions in an array beside the file go to other tiles: of 10 classes, 10 % of the tiles keep
# theirs, by chance. Nothing warns.
# Why it matters: FlatGeobuf is taken for large grids of tiles as it is fast, and arrays of embeddings or probabilities
# are kept beside it row by row. Shapes and lengths fit, so that nothing fails where labels and tiles are joined by row.
# Source: https://gdal.org/en/stable/drivers/vector/flatgeobuf.html (SPATIAL_INDEX).
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

west, south = np.arange(400) % 20 * 1280 + 500_000, 5_000_000 - np.arange(400) // 20 * 1280
tiles = geopandas.GeoDataFrame(
    {"tile": np.arange(400)}, geometry=shapely.box(west, south, west + 1280, south + 1280), crs="EPSG:32633"
)
classes = np.random.default_rng(0).integers(0, 10, 400)
print("geopandas", geopandas.__version__, "pyogrio", pyogrio.__version__, "GDAL", pyogrio.__gdal_version_string__)
found = {}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for name, options in (
        ("tiles.gpkg", {}),
        ("tiles.geojson", {}),
        ("tiles.shp", {}),
        ("tiles.fgb", {}),
        ("plain.fgb", {"SPATIAL_INDEX": "NO"}),
    ):
        tiles.to_file(name, **options)
        read = geopandas.read_file(name, fid_as_index=True)
        start = int(read.index[0])
        counted = read.index.tolist() == list(range(start, start + 400))
        kept = int((read.tile.to_numpy() == np.arange(400)).sum())
        right = float((classes == classes[read.tile]).mean())
        found[name] = kept, counted
        print(f"  {name} {options}: {kept} of 400 in their place, FIDs in order: {counted},", end=" ")
        print(f"classes of an array beside it right: {right:.0%}, first tiles {read.tile.tolist()[:5]}")
print("  warnings:", [str(one.message) for one in caught])
as_recorded = (
    all(found[name] == (400, True) for name in ("tiles.gpkg", "tiles.geojson", "tiles.shp", "plain.fgb"))
    and found["tiles.fgb"][0] < 20
    and found["tiles.fgb"][1]
    and not caught
)
sys.exit(0 if as_recorded else 1)
PYTHON
