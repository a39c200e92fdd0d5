#!/usr/bin/env bash
# The classes 0 to 15 of a 4-bit gray PNG are 0, 17, 34, ... 255 in Pillow, OpenCV and imagecodecs, and 0 to 15 in GDAL.
#
# Expected: classes read back as they were written, or the mode tells that they are 4 bits.
# Observed (Pillow 13.0.0, OpenCV 5.0.0, imagecodecs 2026.3.6): gray samples of fewer than 8 bits are spread over 0 to 255.
# GDAL gives the numbers of the file. For TIFF of 4 bits, Pillow spreads and tifffile does not. Mode "L" and uint8
# everywhere, no warning.
# Why it matters: a land cover map with at most 16 classes is written with 4 bits by whoever saves space (GDAL's NBITS=4).
# A table of 16 class names is then looked up with 119, or class 17 of a model is trained.
# Source: PNG specification, sample depth scaling; TIFF 6.0, BitsPerSample.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check rasterio==1.4.4 Pillow==13.0.0 opencv-python-headless==5.0.0.93 tifffile==2026.3.3 imagecodecs==2026.3.6 numpy==2.3.5 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import pathlib
import sys
import warnings

import cv2
import imagecodecs
import numpy as np
import PIL
import rasterio
import tifffile
from PIL import Image

warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
classes = np.arange(16, dtype="uint8").reshape(4, 4)
for name, driver in (("map.png", "PNG"), ("map.tif", "GTiff")):
    with rasterio.open(name, "w", driver=driver, width=4, height=4, count=1, dtype="uint8", NBITS=4) as out:
        out.write(classes, 1)


def by_gdal(name):
    with rasterio.open(name) as source:
        return source.read(1)


seen = {
    "PNG by GDAL": by_gdal("map.png"),
    "PNG by Pillow": np.asarray(Image.open("map.png")),
    "PNG by OpenCV": cv2.imread("map.png", cv2.IMREAD_UNCHANGED),
    "PNG by imagecodecs": imagecodecs.png_decode(pathlib.Path("map.png").read_bytes()),
    "TIFF by GDAL": by_gdal("map.tif"),
    "TIFF by tifffile": tifffile.imread("map.tif"),
    "TIFF by Pillow": np.asarray(Image.open("map.tif")),
}
print("Pillow", PIL.__version__, "OpenCV", cv2.__version__, "imagecodecs", imagecodecs.__version__, "GDAL",
      rasterio.__gdal_version__)
for name, values in seen.items():
    print(f"  {name}:", *values.ravel()[:4], "...", values.max())
spread = [name for name, values in seen.items() if np.array_equal(values, classes * 17)]
plain = [name for name, values in seen.items() if np.array_equal(values, classes)]
sys.exit(0 if spread == ["PNG by Pillow", "PNG by OpenCV", "PNG by imagecodecs", "TIFF by Pillow"]
         and plain == ["PNG by GDAL", "TIFF by GDAL", "TIFF by tifffile"] else 1)
PYTHON
