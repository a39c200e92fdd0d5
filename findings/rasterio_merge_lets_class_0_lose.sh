#!/usr/bin/env bash
# rasterio's merge of maps without nodata takes 0 for missing: class 0 of the first map loses to the second.
#
# Expected: without nodata each pixel counts. With `method="first"` the first map decides wherever it lies, "min" of 0
# and 7 is 0 and "max" of 0 and -4 is 0.
# Observed (rasterio 1.4.4, numpy 2.4.6): merge fills its result with 0 where no file states nodata, and takes what is 0
# for not yet written. Where the first map has class 0 and the second class 7, "first" and "min" give 7, while class 1
# stays. Of 500 pixels of class 0 in the overlap none is left. "max" of -4 and 0 is -4 if the 0 comes first, and 0 in
# the other order. So in uint8, int16 and float32. With `nodata=255` given, all are right. `masked=True` masks what
# neither map covers, with the same classes. Nothing warns.
# Why it matters: class maps, masks and change maps often state no nodata and have a class 0 (no cloud, water, no
# change). Along the seams it is replaced by whatever else was mapped, and the flooded or cloudy area grows with the
# overlap.
# Source: https://rasterio.readthedocs.io/en/stable/api/rasterio.merge.html (`nodata`, `method`).
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check rasterio==1.4.4 affine==2.4.0 numpy==2.4.6 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import numpy as np
import rasterio
from rasterio.merge import merge
from rasterio.transform import from_origin


def write(name: str, pixels: np.ndarray, east: float) -> str:
    """Write a map without nodata that starts at `east`."""
    options = {"driver": "GTiff", "count": 1, "crs": "EPSG:32633", "transform": from_origin(east, 5e6, 10, 10)}
    height, width = pixels.shape
    with rasterio.open(name, "w", height=height, width=width, dtype=pixels.dtype, **options) as file:
        file.write(pixels, 1)
    return name


def overlap(files: list[str], method: str, **options: float) -> list[tuple[int, int]]:
    """Return the classes and their pixels where both maps lie, which is in the columns 50 to 99 of the mosaic."""
    merged, _ = merge(files, method=method, **options)
    classes, counts = np.unique(merged[0, :, 50:100], return_counts=True)
    return [(int(one), int(count)) for one, count in zip(classes, counts, strict=True)]


print("rasterio", rasterio.__version__, "GDAL", rasterio.__gdal_version__, "numpy", np.__version__)
first = np.zeros((20, 100))
first[:, 1::2] = 1
found = {}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for dtype in ("uint8", "int16", "float32"):
        files = [write("first.tif", first.astype(dtype), 0), write("second.tif", np.full((20, 100), 7, dtype), 500)]
        for method in ("first", "min"):
            found[dtype, method] = overlap(files, method), overlap(files, method, nodata=255)
            print(f"  {dtype}, {method} of classes 0 and 1 over 7:", found[dtype, method][0], end="; ")
            print("with nodata=255:", found[dtype, method][1])
    zero = write("zero.tif", np.zeros((20, 100), "int16"), 0)
    cold = write("cold.tif", np.full((20, 100), -4, "int16"), 500)
    ways = [zero, cold], [cold, zero]
    found["max"] = [overlap(files, "max") for files in ways]
    found["max, nodata"] = [overlap(files, "max", nodata=-9999) for files in ways]
    print("  int16, max of 0 and -4, in either order:", found["max"], "; with nodata=-9999:", found["max, nodata"])
own = [one for one in caught if not issubclass(one.category, PendingDeprecationWarning)]
print("  warnings:", [str(one.message) for one in own])
as_recorded = (
    all(
        found[dtype, method] == ([(1, 500), (7, 500)], [(0, 500), (1, 500)])
        for dtype in ("uint8", "int16", "float32")
        for method in ("first", "min")
    )
    and found["max"] == [[(-4, 1000)], [(0, 1000)]]
    and found["max, nodata"] == [[(0, 1000)], [(0, 1000)]]
    and not own
)
sys.exit(0 if as_recorded else 1)
PYTHON
