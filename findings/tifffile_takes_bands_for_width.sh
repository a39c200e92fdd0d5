#!/usr/bin/env bash
# tifffile writes a tile of 13 bands as 64 pages of 13 columns; its own reader does not show it.
#
# Expected: `imwrite` of an array `(64, 64, 13)` writes one image of 64 x 64 pixels with 13 samples, as it does for 3
# channels of uint8.
# Observed (tifffile 2026.3.3): it writes 64 images of 64 rows, 13 columns and one sample. `imread` gives back the array
# with its shape, from a description that tifffile added. rasterio, and whatever else reads the first image, sees one
# band of 13 columns. `planarconfig='contig'` with `photometric='minisblack'` writes what was meant.
# Why it matters: arrays of multispectral tiles have their bands last in Keras and NumPy. A script that saves and checks
# them with tifffile finds them correct; every GIS, GDAL and STAC tool reads strips.
# Source: tifffile's documentation of `TiffWriter.write`, arguments `photometric` and `planarconfig`.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tifffile==2026.3.3 numpy==2.4.6 rasterio==1.4.4 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import warnings

import numpy as np
import rasterio
import tifffile

warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
tile = np.random.default_rng(0).integers(0, 10000, (64, 64, 13)).astype("uint16")
seen = {}
for name, options in (("as given", {}), ("contig", {"photometric": "minisblack", "planarconfig": "contig"})):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        tifffile.imwrite("tile.tif", tile, **options)
    with tifffile.TiffFile("tile.tif") as file:
        pages = len(file.pages)
    is_same = bool((tifffile.imread("tile.tif") == tile).all())
    with rasterio.open("tile.tif") as file:
        seen[name] = (pages, is_same, (file.count, *file.shape), len(said))
print("tifffile", tifffile.__version__, "rasterio", rasterio.__version__)
for name, (pages, is_same, shape, count) in seen.items():
    print(f"{name}: {pages} pages; tifffile reads the same: {is_same}; rasterio: {shape}; warnings: {count}")
expected = {"as given": (64, True, (1, 64, 13), 0), "contig": (1, True, (13, 64, 64), 0)}
raise SystemExit(0 if seen == expected else 1)
PYTHON
