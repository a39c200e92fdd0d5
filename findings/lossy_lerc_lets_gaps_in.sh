#!/usr/bin/env bash
# LERC with an error of 0.001 turns nodata pixels along the edge of a radar scene into valid ones of 0 dB.
#
# Expected: MAX_Z_ERROR is how far valid pixels may move; what is nodata stays nodata.
# Observed (rasterio 1.4.4 with GDAL 3.10.3): GDAL gives LERC a mask of NaN only. A nodata value counts as a pixel, moves by
# up to the error like any other, and then no longer equals the nodata value. Backscatter around -12 dB with nodata 0 and an
# oblique edge loses about five masked pixels in each row of the edge with an error of 0.001 or more, and reads about 0.001
# dB there. With nodata 9999 and 0.01 about as many per row read 9998.991, and the mean of the valid pixels is +2 dB. Gaps
# far from the edge stay masked. A nodata value below all pixels, such as -9999, is exact, and so is NaN; an error of 0 is
# lossless. Nothing warns.
# Why it matters: every valid pixel is within the error, so a comparison of valid pixels passes. The line at the edge is a
# few pixels wide, where tiles are half empty, and brighter than all water and land.
# Source: https://gdal.org/en/stable/drivers/raster/gtiff.html (MAX_Z_ERROR), which does not mention nodata.
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
import warnings

import numpy as np
import rasterio

size = 1024
rows, columns = np.mgrid[:size, :size]
valid = columns + 0.3 * rows > 300
backscatter = (-12 + 4 * np.random.default_rng(0).standard_normal((size, size))).astype("float32")
place = {"crs": "EPSG:32633", "transform": rasterio.transform.from_origin(500_000, 5_000_000, 10, 10)}
print("rasterio", rasterio.__version__, "GDAL", rasterio.__gdal_version__)
found = {}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for nodata in (0.0, 9999.0, -9999.0, np.nan):
        for error in (0, 0.001, 0.01, 0.1):
            with rasterio.open(
                "scene.tif",
                "w",
                driver="GTiff",
                width=size,
                height=size,
                count=1,
                dtype="float32",
                nodata=nodata,
                compress="lerc",
                max_z_error=error,
                tiled=True,
                **place,
            ) as file:
                file.write(np.where(valid, backscatter, nodata).astype("float32"), 1)
            with rasterio.open("scene.tif") as file:
                read = file.read(1, masked=True)
            lost = ~valid & ~np.ma.getmaskarray(read)
            hidden = int((valid & np.ma.getmaskarray(read)).sum())
            per_row = lost.sum() / max(lost.any(axis=1).sum(), 1)
            apart = float(abs(read.data - backscatter)[valid].max())
            found[str(nodata), error] = int(lost.sum()), per_row, float(read.mean()), apart, hidden
            print(f"  nodata {nodata}, error {error}: {lost.sum()} gaps read as valid,", end=" ")
            print(f"{per_row:.1f} per row with any;", end=" ")
            print(f"mean {read.mean():.2f} dB; valid pixels at most {apart:.4f} apart", read.data[lost][:1])
print("  warnings:", [str(one.message) for one in caught if one.category is not PendingDeprecationWarning])
hit = {("0.0", 0.001), ("0.0", 0.01), ("0.0", 0.1), ("9999.0", 0.01), ("9999.0", 0.1)}
as_recorded = (
    all(found[case][0] > 1000 and 4 < found[case][1] < 6 for case in hit)
    and all(values[0] == 0 and abs(values[2] + 12) < 0.01 for case, values in found.items() if case not in hit)
    and found["9999.0", 0.01][2] > 0
    and all(values[3] <= error * 1.01 and values[4] == 0 for (_, error), values in found.items())
    and not [one for one in caught if one.category is not PendingDeprecationWarning]
)
sys.exit(0 if as_recorded else 1)
PYTHON
