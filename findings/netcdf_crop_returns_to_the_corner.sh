#!/usr/bin/env bash
# A crop of a GeoTIFF that xarray writes to NetCDF is placed by GDAL at the upper left corner of the whole scene.
#
# Expected: `isel` or `sel` crops pixels and coordinates alike, so every reader of the NetCDF file finds the crop where it
# was.
# Observed (xarray 2026.9.0, rioxarray 0.19.0, netCDF4 1.7.5.1, rasterio 1.4.4 with GDAL 3.10.3): rioxarray keeps the
# transform of the scene in the attribute `GeoTransform` of `spatial_ref`, and xarray's indexing leaves it as it is. The file
# holds the right x and y beside the former transform. GDAL, and rioxarray when it opens the file, take the transform: a crop
# 1,000 m east and 500 m south of the corner is read at the corner, and every second pixel with a pixel size of 10 m instead
# of 20 m. `xarray.open_dataset` takes x and y and is right. `rio.clip_box`, `rio.write_transform` before writing, and
# GeoTIFF by `to_raster` are right. Nothing warns.
# Why it matters: crops around labels are cut with `isel` and `sel`, and plots by xarray show them where they belong. Joined
# to labels by GDAL, QGIS or rioxarray, all crops of a scene lie on its first tile, inside the scene, so nothing looks out of
# place.
# Source: https://gdal.org/en/stable/drivers/raster/netcdf.html (georeference) and https://github.com/OSGeo/gdal/issues/13823
# (the same after other tools).
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check xarray==2026.9.0 rioxarray==0.19.0 \
  netCDF4==1.7.5.1.post1 rasterio==1.4.4 numpy==2.4.6 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import numpy as np
import rasterio
import rioxarray
import xarray

warnings.filterwarnings("ignore", category=PendingDeprecationWarning)
pixels = np.arange(300 * 400, dtype="uint16").reshape(300, 400)
with rasterio.open(
    "scene.tif",
    "w",
    driver="GTiff",
    width=400,
    height=300,
    count=1,
    dtype="uint16",
    crs="EPSG:32633",
    transform=rasterio.transform.from_origin(500_000, 5_000_000, 10, 10),
) as file:
    file.write(pixels, 1)
scene = rioxarray.open_rasterio("scene.tif").isel(band=0, drop=True)
crops = {
    "isel": scene.isel(x=slice(100, 200), y=slice(50, 150)),
    "sel": scene.sel(x=slice(501_000, 502_000), y=slice(4_999_500, 4_998_500)),
    "every second pixel": scene.isel(x=slice(100, 200, 2), y=slice(50, 150, 2)),
    "open_dataset and isel": xarray.open_dataset("scene.tif", engine="rasterio", mask_and_scale=False)
    .isel(band=0, drop=True)
    .band_data.isel(x=slice(100, 200), y=slice(50, 150)),
    "rio.clip_box": scene.rio.clip_box(501_000, 4_998_500, 502_000, 4_999_500),
}
crops["isel and rio.write_transform"] = crops["isel"].rio.write_transform(crops["isel"].rio.transform(recalc=True))
print("xarray", xarray.__version__, "rioxarray", rioxarray.__version__, "GDAL", rasterio.__gdal_version__)
found = {}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    warnings.filterwarnings("ignore", category=PendingDeprecationWarning)
    for way, crop in crops.items():
        crop.to_dataset(name="red").to_netcdf("crop.nc")
        with rasterio.open("crop.nc") as file:
            gdal = (file.transform.c, file.transform.f, file.transform.a)
            same = bool((file.read(1) == crop.values).all())
        with rioxarray.open_rasterio("crop.nc") as file:
            reopened = float(file.x[0])
        with xarray.open_dataset("crop.nc") as file:
            plain = float(file.x[0])
        found[way] = gdal, same, reopened, plain
        print(f"  {way}: GDAL west, north, pixel size {gdal}, same pixels {same};", end=" ")
        print(f"first x in rioxarray {reopened}, in xarray {plain}")
print("  warnings:", [str(one.message) for one in caught])
crops["isel"].rio.to_raster("crop.tif")
with rasterio.open("crop.tif") as file:
    geotiff = (file.transform.c, file.transform.f)
print("  isel, written as GeoTIFF: west, north", geotiff)
corner, place = (500_000.0, 5_000_000.0, 10.0), (501_000.0, 4_999_500.0, 10.0)
moved = ("isel", "sel", "every second pixel", "open_dataset and isel")
as_recorded = (
    all(found[way] == (corner, True, 500_005.0, 501_005.0) for way in moved)
    and all(values == (place, True, 501_005.0, 501_005.0) for way, values in found.items() if way not in moved)
    and geotiff == place[:2]
    and not caught
)
sys.exit(0 if as_recorded else 1)
PYTHON
