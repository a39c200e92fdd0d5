#!/usr/bin/env bash
# A gray TIFF in which 0 is white is a negative in Pillow, and is not in GDAL and tifffile.
#
# Expected: readers agree on the numbers of an 8-bit gray image.
# Observed (Pillow 13.0.0, rasterio 1.4.4, tifffile 2026.3.3): for PhotometricInterpretation WhiteIsZero Pillow returns
# 255 minus the stored value; rasterio and tifffile return the stored value.
# Why it matters: scanners, plankton imagers and herbaria write WhiteIsZero. A data set cut into tiles with one library
# and classified with another is inverted, and so are mixtures of such files with PNG copies made by Pillow. Accuracy
# drops; nothing fails.
# Source: TIFF 6.0, section 4, PhotometricInterpretation; Pillow's `TiffImagePlugin`, mode "L" with inversion.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check Pillow==13.0.0 numpy==2.4.6 rasterio==1.4.4 tifffile==2026.3.3 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import warnings

import numpy as np
import PIL
import rasterio
import tifffile
from PIL import Image

warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
stored = np.arange(64, dtype="uint8").reshape(8, 8)
tifffile.imwrite("tile.tif", stored, photometric="miniswhite")
by_pillow = np.asarray(Image.open("tile.tif"))
with rasterio.open("tile.tif") as file:
    by_rasterio = file.read(1)
by_tifffile = tifffile.imread("tile.tif")
print("pillow", PIL.__version__, "rasterio", rasterio.__version__, "tifffile", tifffile.__version__)
print("stored:  ", stored[0])
print("tifffile:", by_tifffile[0])
print("rasterio:", by_rasterio[0])
print("pillow:  ", by_pillow[0])
is_negative = (by_pillow == 255 - stored).all()
raise SystemExit(0 if is_negative and (by_rasterio == stored).all() and (by_tifffile == stored).all() else 1)
PYTHON
