#!/usr/bin/env bash
# rasterio's merge counts the scenes of a pixel, and adds up their values, in the data type of the first file.
#
# Expected: 300 scenes that cover a pixel count as 300, or an error says that the number does not fit.
# Observed (rasterio 1.4.4, rioxarray 0.19.0): merge(..., method="count") of 300 masks in uint8 says 44, and method="sum" of
# 200 and 100 says 44 as well, without a warning; rioxarray's merge_arrays passes the methods on and says the same. Where
# the first map is uint8 and the second uint16, class 300 of the second becomes class 44; in the other order it stays. A
# class 256 becomes 0, which is nodata. With dtype="uint16" given, merge is right. GDAL itself cuts such numbers to 255 when
# it converts (a VRT of both), and tells the two apart.
# Why it matters: counts of clear observations are taken from masks of uint8, and are largest where they matter: a pixel
# with 256 clear dates counts as one without any. Maps of a tiling in which one tile has few classes are written as uint8.
# Source: rasterio's documentation of rasterio.merge.merge (`method`, `dtype`).
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check rasterio==1.4.4 rioxarray==0.19.0 xarray==2026.9.0 \
  numpy==2.4.6 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import rasterio
import rioxarray
from rasterio.merge import merge
from rasterio.transform import from_origin
from rasterio.vrt import WarpedVRT
from rioxarray.merge import merge_arrays


def write(name, dtype, value, left=0):
    profile = {"driver": "GTiff", "count": 1, "width": 4, "height": 4, "crs": "EPSG:32633", "nodata": 0}
    with rasterio.open(name, "w", dtype=dtype, transform=from_origin(left, 40, 10, 10), **profile) as file:
        file.write(np.full((1, 4, 4), value, dtype))
    return name


def values(merged):
    return sorted({int(value) for value in np.unique(np.asarray(merged))})


mask, dark, bright = write("mask.tif", "uint8", 1), write("dark.tif", "uint8", 100), write("bright.tif", "uint8", 200)
few, many, zero = write("few.tif", "uint8", 7), write("many.tif", "uint16", 300, 40), write("256.tif", "uint16", 256, 40)
arrays = [rioxarray.open_rasterio(name) for name in (dark, bright)]
found = {
    "count of 255 masks": values(merge([mask] * 255, method="count")[0]),
    "count of 256 masks": values(merge([mask] * 256, method="count")[0]),
    "count of 300 masks": values(merge([mask] * 300, method="count")[0]),
    "count of 300 masks, dtype uint16": values(merge([mask] * 300, method="count", dtype="uint16")[0]),
    "sum of 100 and 200": values(merge([dark, bright], method="sum")[0]),
    "sum of 100 and 200, rioxarray": values(merge_arrays(arrays, method="sum")),
    "classes 7 and 300": values(merge([few, many])[0]),
    "classes 300 and 7": values(merge([many, few])[0]),
    "classes 7 and 256": values(merge([few, zero])[0]),
}
with rasterio.open(many) as file, WarpedVRT(file, dtype="uint8") as converted:
    found["class 300 in uint8, GDAL"] = values(converted.read())
print("rasterio", rasterio.__version__, "GDAL", rasterio.__gdal_version__, "rioxarray", rioxarray.__version__)
for way, seen in found.items():
    print(f"  {way}: {seen}")
expected = [[255], [0], [44], [300], [44], [44], [7, 44], [7, 300], [0, 7], [255]]
sys.exit(0 if list(found.values()) == expected else 1)
PYTHON
