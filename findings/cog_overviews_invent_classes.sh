#!/usr/bin/env bash
# A class map saved as a Cloud Optimized GeoTIFF gets overviews with classes that nobody predicted.
#
# Expected: overviews of an 8-bit single-band map repeat its values, since the COG driver cannot know
# a mean of two class numbers to be meaningful.
# Observed (rasterio 1.4.4, GDAL 3.10): without a color table the driver resamples with CUBIC, so a map
# of the classes 1 and 9 has overviews with values between and beyond them; with a color table it uses
# NEAREST. Naming `overview_resampling` is the only way that holds in both cases.
# Why it matters: web maps and quick looks read overviews only; statistics over them count false classes.
# Source: GDAL's documentation of the COG driver, option OVERVIEW_RESAMPLING.
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

rng = np.random.default_rng(0)
classes = np.where(rng.random((2048, 2048)) < 0.5, 1, 9).astype("uint8")
profile = dict(driver="COG", width=2048, height=2048, count=1, dtype="uint8", crs="EPSG:32633",
               transform=from_origin(500000, 5000000, 10, 10), compress="deflate", interleave="band")


def overview_values(name, **options):
    with rasterio.open(name, "w", **(profile | options)) as out:
        out.write(classes, 1)
    with rasterio.open(name, overview_level=0) as overview:
        return sorted(int(value) for value in np.unique(overview.read(1)))


default, mode = overview_values("default.tif"), overview_values("mode.tif", overview_resampling="mode")
print("rasterio", rasterio.__version__, "GDAL", rasterio.__gdal_version__)
print("values in the map: [1, 9]")
print("in its first overview, by default:", default)
print("in its first overview, overview_resampling=mode:", mode)
sys.exit(0 if set(default) - {1, 9} and mode == [1, 9] else 1)
PYTHON
