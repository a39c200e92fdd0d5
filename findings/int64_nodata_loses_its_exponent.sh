#!/usr/bin/env bash
# A 64-bit raster loses its nodata value when it is written: pixels of class 1 are masked, missing ones are not.
#
# Expected: the value reads back as it was given, or writing raises, as it does for -9999 in uint8.
# Observed (rasterio 1.4.4, GDAL 3.10): values of 17 digits and more reach GDAL in scientific notation and are
# cut at the first character that is no digit. -9223372036854775808, the smallest int64, reads back as -9, and
# 2^60 as 1. Up to 16 digits all is well.
# Why it matters: the smallest int64 is a common fill (it is also the NaT of pandas); in rasters of object or
# parcel ids a valid id is masked and the fill is counted as an object.
# Source: rasterio's documentation of nodata masks; GDAL's GTiff driver, TIFFTAG_GDAL_NODATA.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check rasterio==1.4.4 numpy==2.3.5 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import rasterio
from rasterio.transform import from_origin

profile = dict(driver="GTiff", width=32, height=32, count=1, dtype="int64", crs="EPSG:32633",
               transform=from_origin(500000, 5000000, 10, 10))


def nodata(value):
    ids = np.ones((32, 32), "int64")
    ids[:8] = value  # 256 pixels of 1024 are missing
    with rasterio.open("ids.tif", "w", nodata=value, **profile) as out:
        out.write(ids, 1)
    with rasterio.open("ids.tif") as source:
        read = source.read(1, masked=True)
        return source.nodata, int((read.mask & (ids == value)).sum()), int((read.mask & (ids == 1)).sum())


seen = {value: nodata(value) for value in (-9999, 10**15, 2**60, -(2**63))}
print("rasterio", rasterio.__version__, "GDAL", rasterio.__gdal_version__)
print("nodata written, nodata read, missing pixels masked of 256, valid pixels masked of 768:")
for value, what in seen.items():
    print(" ", value, *what)
sys.exit(0 if seen == {-9999: (-9999, 256, 0), 10**15: (1e15, 256, 0), 2**60: (1, 0, 768),
                       -(2**63): (-9, 0, 0)} else 1)
PYTHON
