#!/usr/bin/env bash
# Polygons of a float raster: neighboring parcels whose numbers are above a million become one.
#
# Expected: `rasterio.features.shapes` gives one polygon per connected area of equal values; whole numbers are exact in
# float32 up to 16,777,216.
# Observed (rasterio 1.4.4 with GDAL 3.10.3): for float32 and float64, GDAL compares in float32, and takes values that are
# up to ten representable numbers apart for equal. From 1,048,576 on that is a difference of 1: a row of eight parcels with
# consecutive numbers is one polygon with the number of the last; in int32, and below, there are eight. At 16,000,000 the
# difference may be 10. Nothing warns, and np.unique of the same array counts eight. In rasterio 1.5.2 with GDAL 3.12.2,
# which needs Python 3.12, float64 is right and float32 is not.
# Why it matters: a raster of parcel or object numbers becomes float as soon as NaN marks what is outside, which
# xarray's `where` and `masked=True` do. Labels of parcels that were digitized one after the other, and so are neighbors,
# are then lost. Convert to int32 with a number for what is outside before calling `shapes`.
# Source: rasterio's documentation of `rasterio.features.shapes`; https://github.com/OSGeo/gdal/pull/13548 (float64).
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check rasterio==1.4.4 numpy==2.4.6 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import rasterio
from rasterio.features import shapes


def polygons(first, dtype, step=1):
    """Return the numbers of the polygons of eight parcels side by side, in a margin of NaN, or of 0 for integers."""
    parcels = np.full((12, 52), 0 if dtype == "int32" else np.nan, dtype)
    parcels[2:10, 2:50] = np.repeat(first + step * np.arange(8), 6)
    inside = parcels > 0
    assert len(np.unique(parcels[inside])) == 8
    return sorted(int(value) for _, value in shapes(parcels, mask=inside))


found = {
    "int32 from 1,500,000": polygons(1_500_000, "int32"),
    "float32 from 1,048,568": polygons(1_048_568, "float32"),
    "float32 from 1,048,576": polygons(1_048_576, "float32"),
    "float64 from 1,500,000": polygons(1_500_000, "float64"),
    "float32 from 16,000,000, each tenth number": polygons(16_000_000, "float32", step=10),
    "float32 from 16,000,000, each eleventh number": polygons(16_000_000, "float32", step=11),
}
print("rasterio", rasterio.__version__, "GDAL", rasterio.__gdal_version__)
for way, numbers in found.items():
    print(f"  {way}: {len(numbers)} polygons {numbers}")
as_recorded = (
    found["int32 from 1,500,000"] == list(range(1_500_000, 1_500_008))
    and found["float32 from 1,048,568"] == list(range(1_048_568, 1_048_576))
    and found["float32 from 1,048,576"] == [1_048_583]
    and found["float64 from 1,500,000"] == [1_500_007]
    and found["float32 from 16,000,000, each tenth number"] == [16_000_070]
    and len(found["float32 from 16,000,000, each eleventh number"]) == 8
)
sys.exit(0 if as_recorded else 1)
PYTHON
