#!/usr/bin/env bash
# Pillow divides red, green and blue by the fourth band of a TIFF that marks it as associated alpha.
#
# Expected: the four numbers of a pixel are those in the file.
# Observed (Pillow 13.0.0): where ExtraSamples is 1 (associated alpha), the first three bands are multiplied by 255 and
# divided by the fourth. GDAL and tifffile give what is stored; with ExtraSamples 2 (unassociated) Pillow does, too.
# Why it matters: near infrared beside red, green and blue is often marked as alpha, by tools that know four bands as
# RGBA only. Bright vegetation keeps its colors and water, dark in near infrared, turns white.
# Source: TIFF 6.0, ExtraSamples.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check rasterio==1.4.4 Pillow==13.0.0 tifffile==2026.3.3 numpy==2.3.5 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import numpy as np
import PIL
import rasterio
import tifffile
from PIL import Image

warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
PIXELS = {"vegetation": (40, 60, 30, 200), "water": (30, 40, 60, 20)}
image = np.array([list(PIXELS.values())], "uint8")  # one row of two pixels of red, green, blue, near infrared


def read(kind):
    tifffile.imwrite("tile.tif", image, photometric="rgb", extrasamples=[kind])
    with rasterio.open("tile.tif") as source:
        by_gdal = np.moveaxis(source.read(), 0, -1)
    readers = {"GDAL": by_gdal, "tifffile": tifffile.imread("tile.tif"), "Pillow": np.asarray(Image.open("tile.tif"))}
    return {name: tuple(map(tuple, values.reshape(2, 4).tolist())) for name, values in readers.items()}


seen = {kind: read(kind) for kind in ("assocalpha", "unassalpha")}
print("Pillow", PIL.__version__, "tifffile", tifffile.__version__, "GDAL", rasterio.__gdal_version__)
for kind, by in seen.items():
    for name, pixels in by.items():
        print(f"  {kind} by {name}:", *(f"{what} {pixel}" for what, pixel in zip(PIXELS, pixels)))
same = tuple(PIXELS.values())
divided = ((51, 76, 38, 200), (255, 255, 255, 20))
sys.exit(0 if seen == {"assocalpha": {"GDAL": same, "tifffile": same, "Pillow": divided},
                       "unassalpha": {"GDAL": same, "tifffile": same, "Pillow": same}} else 1)
PYTHON
