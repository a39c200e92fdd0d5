#!/usr/bin/env bash
# An index computed with rioxarray is written with scale, offset and nodata of the bands, and read as -0.1 everywhere.
#
# Expected: arithmetic on two bands drops what describes the bands, so the file of NDVI has scale 1 and no nodata value.
# Observed (xarray 2026.9.0, rioxarray 0.19.0, rasterio 1.4.4): xarray keeps attributes in arithmetic by default since
# 2025.11, and rioxarray writes the attributes `scale_factor`, `add_offset` and `_FillValue` as the scale, offset and
# nodata of the file. Two bands with scale 0.0001 and offset -0.1, as Sentinel-2 has, are read, scaled by hand and made
# into NDVI with a mean of 0.61; `xarray.open_dataset` of its file gives -0.0999 with a deviation below 0.0001. A mask
# `ndvi > 0.6` in uint8 is written with nodata 0: its class 0 is missing. With mask_and_scale=True when the bands are read,
# or keep_attrs=False, which was the default, both are right.
# Why it matters: the numbers in the file are right, and wrong only in the programs that heed its tags, such as xarray and
# QGIS. A script that has not changed writes other files after an upgrade of xarray.
# Source: https://docs.xarray.dev/en/stable/whats-new.html (2025.11.0, keep_attrs) and rioxarray's documentation of
# `to_raster`.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check rasterio==1.4.4 rioxarray==0.19.0 xarray==2026.9.0 \
  numpy==2.4.6 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import rasterio
import rioxarray
import xarray

rng = np.random.default_rng(0)
place = {"crs": "EPSG:32633", "transform": rasterio.transform.from_origin(500_000, 5_000_000, 10, 10)}
for name, low, high in (("B04", 1400, 2000), ("B08", 3000, 5000)):
    with rasterio.open(
        f"{name}.tif", "w", driver="GTiff", width=60, height=60, count=1, dtype="uint16", nodata=0, **place
    ) as file:
        file.write(rng.integers(low, high, (1, 60, 60), "uint16"))
        file.scales, file.offsets = (0.0001,), (-0.1,)


def written(way, keep_attrs="default", **options):
    """Write NDVI and a mask; return tags and means as stored and as read, and the pixels of class 0 that are left."""
    with xarray.set_options(keep_attrs=keep_attrs):
        red, infrared = (rioxarray.open_rasterio(f"{name}.tif", **options).astype("float32") for name in ("B04", "B08"))
        if not options.get("mask_and_scale"):
            red, infrared = red * 0.0001 - 0.1, infrared * 0.0001 - 0.1
        ndvi = (infrared - red) / (infrared + red)
        mask = (ndvi > 0.6).astype("uint8")
    ndvi.rio.to_raster("ndvi.tif")
    mask.rio.to_raster("mask.tif")
    with rasterio.open("ndvi.tif") as file:
        tags, stored = (file.scales[0], file.offsets[0], file.nodata), float(file.read().mean())
    with xarray.open_dataset("ndvi.tif", engine="rasterio") as file:
        read, deviation = float(file.band_data.mean()), float(file.band_data.std())
    with rasterio.open("mask.tif") as file:
        others = int((file.read(masked=True) == 0).sum() or 0)
    print(f"  {way}: scale, offset, nodata {tags}; class 0 of the mask: {others} pixels")
    print(f"    mean stored {stored:.3f}, read {read:.4f} +- {deviation:.5f}")
    return tags, stored, read, others


print("xarray", xarray.__version__, "rioxarray", rioxarray.__version__, "rasterio", rasterio.__version__)
default = written("default")
masked = written("masked=True", masked=True)
unscaled = written("mask_and_scale=True", mask_and_scale=True)
former = written("keep_attrs=False", keep_attrs=False)
as_recorded = (
    default[0] == (0.0001, -0.1, 0.0)
    and masked[0] == (0.0001, -0.1, None)
    and unscaled[0] == former[0] == (1.0, 0.0, None)
    and all(abs(one[1] - 0.616) < 0.01 for one in (default, masked, unscaled, former))
    and all(abs(one[2] + 0.0999) < 0.0001 for one in (default, masked))
    and all(abs(one[2] - 0.616) < 0.01 for one in (unscaled, former))
    and default[3] == 0
    and masked[3] == unscaled[3] == former[3] > 1000
)
sys.exit(0 if as_recorded else 1)
PYTHON
