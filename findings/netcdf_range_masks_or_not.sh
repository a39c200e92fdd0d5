#!/usr/bin/env bash
# netCDF4 and GDAL leave out what is beyond `valid_range`; xarray gives it as numbers.
#
# Expected: two readers that apply scale factor and fill value agree on which pixels are missing.
# Observed (netCDF4 1.7.5, GDAL 3.10, xarray 2026.9.0): a band of int16 with `valid_range` 0 to 10000 and a scale factor of
# 0.0001. -5, 10001 and -32767, the fill value of a file that states none, are missing in netCDF4 and GDAL; xarray
# gives -0.0005, 1.0001 and -3.2767.
# Why it matters: satellite products mark invalid pixels by `valid_range`. Means, drift and training tiles taken through
# xarray contain them, with negative and impossible reflectances; those through rasterio do not.
# Source: NetCDF User Guide, attribute conventions (valid_range, _FillValue).
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check netCDF4==1.7.5.1.post1 xarray==2026.9.0 rasterio==1.4.4 numpy==2.3.5 pandas==2.3.3 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import netCDF4
import numpy as np
import rasterio
import xarray as xr

warnings.simplefilter("ignore")
STORED = np.array([[-32767, -5, 0], [5000, 10000, 10001]], "int16")
with netCDF4.Dataset("scene.nc", "w") as out:
    out.createDimension("y", 2)
    out.createDimension("x", 3)
    band = out.createVariable("reflectance", "i2", ("y", "x"))
    band.valid_range = np.array([0, 10000], "int16")
    band.set_auto_maskandscale(False)
    band.scale_factor = 0.0001
    band[:] = STORED
with netCDF4.Dataset("scene.nc") as source:
    by_netcdf4 = np.ma.filled(source["reflectance"][:].astype("float64"), np.nan)
with xr.open_dataset("scene.nc", engine="netcdf4") as source:
    by_xarray = source["reflectance"].values
with rasterio.open("netcdf:scene.nc:reflectance") as source:
    stored = source.read(1, masked=True)
    by_gdal = np.ma.filled(stored.astype("float64"), np.nan) * source.scales[0]
seen = {"netCDF4": by_netcdf4, "GDAL": by_gdal, "xarray": by_xarray}
print("netCDF4", netCDF4.__version__, "xarray", xr.__version__, "rasterio", rasterio.__version__, "GDAL",
      rasterio.__gdal_version__)
print("  stored:", *STORED.ravel())
for name, values in seen.items():
    print(f"  {name}:", *np.round(values.ravel(), 4))
missing = {name: int(np.isnan(values).sum()) for name, values in seen.items()}
sys.exit(0 if missing == {"netCDF4": 3, "GDAL": 3, "xarray": 0}
         and np.allclose(by_xarray, STORED * 0.0001) else 1)
PYTHON
