#!/usr/bin/env bash
# Pillow opens a PNG with three channels of 16 bits as one of 8 bits, without a warning.
#
# Expected: an array of uint16, or an error for a mode that Pillow does not have. A gray PNG of 16 bits is read as such.
# Observed (Pillow 13.0.0): mode RGB, uint8: each value is divided by 256. Reflectances from 0 to 10000 become 0 to 39,
# and all values below 256 are 0. rasterio reads the same file as uint16.
# Why it matters: composites of satellite images and micrographs are often exported as PNG with 16 bits per channel. A
# model trained on them sees at most 40 levels; over water, none.
# Source: Pillow's documentation, "Concepts: modes", has no mode for it; "Image file formats: PNG" does not mention the
# loss.
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
pixels = np.random.default_rng(0).integers(0, 10000, (3, 8, 8)).astype("uint16")
with rasterio.open("tile.png", "w", driver="PNG", height=8, width=8, count=3, dtype="uint16") as file:
    file.write(pixels)
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    image = Image.open("tile.png")
    by_pillow = np.moveaxis(np.asarray(image), -1, 0)
with rasterio.open("tile.png") as file:
    by_rasterio = file.read()
print("pillow", PIL.__version__, "rasterio", rasterio.__version__)
print("written: ", pixels.dtype, pixels[:, 0, 0], "to", pixels.max())
print("rasterio:", by_rasterio.dtype, by_rasterio[:, 0, 0], "to", by_rasterio.max())
print("pillow:  ", image.mode, by_pillow.dtype, by_pillow[:, 0, 0], "to", by_pillow.max(), "warnings:", len(said))
is_cut = by_pillow.dtype == np.uint8 and (by_pillow == pixels // 256).all() and not said
raise SystemExit(0 if is_cut and (by_rasterio == pixels).all() else 1)
PYTHON
