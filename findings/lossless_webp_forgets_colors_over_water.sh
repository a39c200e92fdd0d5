#!/usr/bin/env bash
# Pillow's lossless WebP loses red, green and blue where the fourth band is 0.
#
# Expected: `lossless=True` gives back the bytes of an array of four bands.
# Observed (Pillow 13.0.0): pixels whose fourth channel is 0 come back with other values in the first three, since the
# encoder is free to choose the color of what is transparent. Pixels with any other value are exact. GDAL's lossless
# WebP in a GeoTIFF keeps all of them.
# Why it matters: tiles of red, green, blue and near infrared fit an RGBA image, and near infrared is 0 over water and
# in shadows. Exactly these tiles lose their visible bands; a test with random values does not show it. `exact=True`
# keeps them.
# Source: Pillow's documentation, "Image file formats: WebP", option `exact`.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check Pillow==13.0.0 numpy==2.4.6 rasterio==1.4.4 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import warnings

import numpy as np
import PIL
import rasterio
from PIL import Image

warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
tile = np.random.default_rng(1).integers(1, 256, (16, 16, 4)).astype("uint8")
tile[:8, :, 3] = 0  # water
changed = {}
for name, options in (("lossless", {}), ("lossless, exact", {"exact": True})):
    Image.fromarray(tile).save("tile.webp", lossless=True, **options)
    back = np.asarray(Image.open("tile.webp"))
    changed[name] = [int((back[rows] != tile[rows]).any(axis=-1).sum()) for rows in (slice(0, 8), slice(8, 16))]
settings = {"driver": "GTiff", "height": 16, "width": 16, "count": 4, "dtype": "uint8", "interleave": "pixel"}
with rasterio.open("tile.tif", "w", compress="webp", WEBP_LOSSLESS=True, **settings) as file:
    file.write(np.moveaxis(tile, -1, 0))
with rasterio.open("tile.tif") as file:
    gdal = int((np.moveaxis(file.read(), 0, -1) != tile).any(axis=-1).sum())
print("pillow", PIL.__version__, "rasterio", rasterio.__version__, "GDAL", rasterio.__gdal_version__)
for name, (water, land) in changed.items():
    print(f"pillow, {name}: {water} of 128 water pixels and {land} of 128 land pixels changed")
print(f"GDAL, lossless: {gdal} of 256 pixels changed")
raise SystemExit(0 if changed == {"lossless": [128, 0], "lossless, exact": [0, 0]} and gdal == 0 else 1)
PYTHON
