#!/usr/bin/env bash
# A GeoTIFF that did not fit on the disk is written and closed without an error.
#
# Expected: `write`, or at the latest the end of `with rasterio.open(..., "w")`, raises an error if not all pixels could be
# written, as tifffile does.
# Observed (rasterio 1.4.4, GDAL 3.10.3): an image that is written at once raises; written in windows, as large images are,
# it does not. The blocks wait in GDAL's cache until the file is closed, when libtiff prints a line to standard error and
# rasterio raises nothing. The file opens; only reading the pixels shows that some are missing. (Where blocks in the middle
# of the file are missing, as on a full tmpfs, even a copy to a COG raised nothing and had other pixels.)
# Why it matters: a step that checks for exceptions reports success for a map or mask that lacks a part.
# Source: https://gdal.org/en/stable/api/raster_c_api.html#_CPPv49GDALClose12GDALDatasetH (it returns an error code since
# GDAL 3.7).
#
# A limit on the size of files stands for the full disk, so that no disk has to be filled.
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check rasterio==1.4.4 numpy==2.3.5 tifffile==2025.10.16 || exit 2
"$folder/venv/bin/python" - 2>/dev/null <<'PYTHON'
import resource
import sys

import numpy as np
import rasterio
import tifffile
from rasterio.windows import Window

pixels = np.random.default_rng(0).integers(1, 255, (2048, 2048)).astype("uint8")  # 4 MiB
profile = dict(driver="GTiff", width=2048, height=2048, count=1, dtype="uint8", tiled=True, blockxsize=512, blockysize=512,
               crs="EPSG:32633", transform=rasterio.transform.from_origin(500000, 5000000, 10, 10))


def attempt(write):
    try:
        write()
    except Exception as error:
        return type(error).__name__
    return "no error"


def with_rasterio(name, rows, **more):
    with rasterio.open(name, "w", **profile, **more) as file:
        for row in range(0, 2048, rows):
            file.write(pixels[row : row + rows], 1, window=Window(0, row, 2048, rows))


def read(name):
    with rasterio.open(name) as file:
        assert file.shape == pixels.shape
        file.read(1)


resource.setrlimit(resource.RLIMIT_FSIZE, (1024 * 1024,) * 2)
seen = {
    "rasterio, at once": attempt(lambda: with_rasterio("whole.tif", 2048)),
    "rasterio, in windows": attempt(lambda: with_rasterio("plain.tif", 64)),
    "rasterio, in windows, deflate": attempt(lambda: with_rasterio("deflate.tif", 64, compress="deflate")),
    "tifffile": attempt(lambda: tifffile.imwrite("tifffile.tif", pixels)),
}
later = {name: attempt(lambda name=name: read(name)) for name in ("plain.tif", "deflate.tif")}
print("rasterio", rasterio.__version__, "GDAL", rasterio.__gdal_version__, "tifffile", tifffile.__version__)
print("writing 4 MiB where 1 MiB fits:", seen)
print("opening and reading:", later)
expected = ["RasterioIOError", "no error", "no error", "OSError"]
sys.exit(0 if list(seen.values()) == expected and set(later.values()) == {"RasterioIOError"} else 1)
PYTHON
