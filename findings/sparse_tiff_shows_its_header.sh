#!/usr/bin/env bash
# In Pillow, a tile that a sparse GeoTIFF leaves out shows the first bytes of the file.
#
# Expected: the nodata value, as in GDAL and tifffile, or 0, or an error, as for compressed files.
# Observed (Pillow 13.0.0): a tile that was never written has offset 0 and length 0. In a file without compression, Pillow
# reads its pixels from offset 0: the header "II*\\0" and what follows, as gray levels. No warning.
# Why it matters: scenes at the edge of a swath are written sparse (SPARSE_OK, and GDAL's COG driver). What was never
# observed becomes texture, and tiles of it are packed and labelled. Compressed files raise an error.
# Source: GDAL's GTiff driver, SPARSE_OK; TIFF 6.0, TileByteCounts.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check rasterio==1.4.4 Pillow==13.0.0 tifffile==2026.3.3 numpy==2.3.5 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import pathlib
import sys
import warnings

import numpy as np
import PIL
import rasterio
import tifffile
from PIL import Image

warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
with rasterio.open("scene.tif", "w", driver="GTiff", width=64, height=32, count=1, dtype="uint8", nodata=255, tiled=True,
                   blockxsize=32, blockysize=32, SPARSE_OK="TRUE") as out:
    out.write(np.full((32, 32), 7, "uint8"), 1, window=((0, 32), (0, 32)))  # the right half is not written
with rasterio.open("scene.tif") as source:
    by_gdal = source.read(1)[:, 32:]
by_tifffile, by_pillow = tifffile.imread("scene.tif")[:, 32:], np.asarray(Image.open("scene.tif"))[:, 32:]
header = np.frombuffer(pathlib.Path("scene.tif").read_bytes()[:16], "uint8")
print("Pillow", PIL.__version__, "tifffile", tifffile.__version__, "GDAL", rasterio.__gdal_version__)
print("  first pixels of the missing tile: GDAL", *by_gdal[0, :8], "tifffile", *by_tifffile[0, :8],
      "Pillow", *by_pillow[0, :8])
print("  first bytes of the file:", *header[:8], bytes(header[:4]))
is_header = np.array_equal(by_pillow[0, :16], header)
sys.exit(0 if (by_gdal == 255).all() and (by_tifffile == 255).all() and is_header else 1)
PYTHON
