#!/usr/bin/env bash
# Float tiles compressed with LERC lose their NaN in tifffile: missing pixels arrive as 0.0, without a warning.
#
# Expected: NaN marks missing reflectance, and lossless compression (LERC with MAX_Z_ERROR=0) keeps it; GDAL
# reads it back as NaN.
# Observed: GDAL writes the mask of valid pixels into the LERC blob; tifffile decodes the values and
# drops the mask.
# Why it matters: statistics and models take fill for dark pixels.
# Source: the LERC format's validity mask; GDAL's GTiff driver, COMPRESS=LERC.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tifffile==2026.3.3 imagecodecs==2026.3.6 rasterio==1.4.4 numpy==2.3.5 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import imagecodecs
import numpy as np
import rasterio
import tifffile
from rasterio.transform import from_origin

pixels = np.full((1, 64, 64), 0.25, "float32")
pixels[0, :16] = np.nan
with rasterio.open("tile.tif", "w", driver="GTiff", width=64, height=64, count=1, dtype="float32",
                   compress="lerc", max_z_error=0, crs="EPSG:32633", transform=from_origin(500000, 5000000, 10, 10)) as out:
    out.write(pixels)
with rasterio.open("tile.tif") as source:
    by_gdal = source.read()
by_tifffile = tifffile.imread("tile.tif")
print("tifffile", tifffile.__version__, "imagecodecs", imagecodecs.__version__, "GDAL", rasterio.__gdal_version__)
print("NaN written:", int(np.isnan(pixels).sum()), "| GDAL reads", int(np.isnan(by_gdal).sum()), "NaN | tifffile reads",
      int(np.isnan(by_tifffile).sum()), "NaN and", int((by_tifffile == 0).sum()), "zeros")
sys.exit(0 if np.isnan(by_gdal).sum() == 1024 and not np.isnan(by_tifffile).any() and (by_tifffile == 0).sum() == 1024 else 1)
PYTHON
