#!/usr/bin/env bash
# Pillow doubles the values of a 15-bit JPEG 2000 file, the format of Sentinel-2; OpenCV multiplies 12-bit TIFF by 16.
#
# Expected: a reader that takes samples of 12 or 15 bits gives the numbers that were written, in 16 bits.
# Observed (Pillow 13.0.0, OpenCV 5.0.0): Pillow shifts JPEG 2000 samples up until 16 bits are full, OpenCV does so with
# TIFF samples. Each reads the other format as it is, and GDAL reads both so. No warning; dtype and shape are the same.
# Why it matters: Sentinel-2's bands are JPEG 2000 of 15 bits, so Pillow doubles each reflectance. A model trained on tiles
# that GDAL cut then sees a scene twice as bright, and clouds and sand are what it takes fields for.
# Source: the products' headers (NBITS=15 in GDAL); TIFF 6.0, BitsPerSample; ISO 15444-1, SIZ marker.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check rasterio==1.4.4 Pillow==13.0.0 opencv-python-headless==5.0.0.93 tifffile==2026.3.3 numpy==2.3.5 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import cv2
import numpy as np
import PIL
import rasterio
from PIL import Image

warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
reflectance = np.arange(1000, 1000 + 64 * 64, dtype="uint16").reshape(64, 64) % 4096
OPTIONS = {"band.jp2": dict(driver="JP2OpenJPEG", NBITS=15, REVERSIBLE="YES", QUALITY=100),
           "band.tif": dict(driver="GTiff", NBITS=12)}


def factors(name):
    with rasterio.open(name, "w", width=64, height=64, count=1, dtype="uint16", **OPTIONS[name]) as out:
        out.write(reflectance, 1)
    with rasterio.open(name) as source:
        by_gdal = source.read(1)
    read = {"GDAL": by_gdal, "Pillow": np.asarray(Image.open(name)), "OpenCV": cv2.imread(name, cv2.IMREAD_UNCHANGED)}
    assert all(values.shape == (64, 64) for values in read.values())
    return {by: float(values.astype(float).sum() / reflectance.sum(dtype=float)) for by, values in read.items()}


seen = {name: factors(name) for name in OPTIONS}
print("Pillow", PIL.__version__, "OpenCV", cv2.__version__, "rasterio", rasterio.__version__)
for name, by in seen.items():
    print(f"  {name}: values read per value written:", ", ".join(f"{who} {factor:.2f}" for who, factor in by.items()))
sys.exit(0 if seen == {"band.jp2": {"GDAL": 1, "Pillow": 2, "OpenCV": 1},
                       "band.tif": {"GDAL": 1, "Pillow": 1, "OpenCV": 16}} else 1)
PYTHON
