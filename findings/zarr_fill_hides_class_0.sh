#!/usr/bin/env bash
# Class 0 of a Zarr array is missing for xarray and masked for GDAL, because 0 is what zarr fills unwritten chunks with.
#
# Expected: the value of a chunk that was never written says nothing about pixels that were.
# Observed (zarr 3.1.6, xarray 2026.9.0, GDAL 3.10): a class map of uint8 in Zarr format 2, created without a word on fill
# values, is 0 to 5 for zarr. xarray turns 0 into NaN and the map into float32; rasterio says nodata 0 and masks these
# pixels. In format 3, xarray gives 0 and uint8: the conversion of a store changes what is missing.
# Why it matters: class 0 is a class (water in WorldCover-like maps, background in masks). Its pixels drop out of
# accuracies and areas without a warning. Write `fill_value=None` or a value that no class has.
# Source: Zarr format 2, fill_value; xarray's `use_zarr_fill_value_as_mask`; GDAL's Zarr driver.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check zarr==3.1.6 xarray==2026.9.0 rasterio==1.4.4 numpy==2.3.5 pandas==2.3.3 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import numpy as np
import rasterio
import xarray as xr
import zarr

warnings.simplefilter("ignore")
classes = np.array([[0, 1, 2], [0, 0, 5]], "uint8")
seen = {}
for form in (2, 3):
    name = f"map{form}.zarr"
    group = zarr.open_group(name, mode="w", zarr_format=form)
    names = {"dimension_names": ["y", "x"]} if form == 3 else {"attributes": {"_ARRAY_DIMENSIONS": ["y", "x"]}}
    array = group.create_array("classes", shape=classes.shape, chunks=classes.shape, dtype="uint8", **names)
    array[:] = classes
    by_xarray = xr.open_zarr(name, consolidated=False)["classes"]
    seen[form] = (array[:].tolist(), str(by_xarray.dtype), int(by_xarray.isnull().sum()))
with rasterio.open('ZARR:"map2.zarr":/classes') as source:
    by_gdal = source.nodata, int(source.read(1, masked=True).mask.sum())
print("zarr", zarr.__version__, "xarray", xr.__version__, "rasterio", rasterio.__version__, "GDAL",
      rasterio.__gdal_version__)
for form, (by_zarr, dtype, missing) in seen.items():
    print(f"  format {form}: zarr {by_zarr}; xarray {dtype}, {missing} of 6 pixels missing")
print(f"  format 2: GDAL nodata {by_gdal[0]}, {by_gdal[1]} of 6 pixels masked")
sys.exit(0 if seen == {2: (classes.tolist(), "float32", 3), 3: (classes.tolist(), "uint8", 0)}
         and by_gdal == (0, 3) else 1)
PYTHON
