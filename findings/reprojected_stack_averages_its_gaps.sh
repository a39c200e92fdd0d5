#!/usr/bin/env bash
# Reprojecting a stack of bands or dates mixes the nodata value of one layer into its pixels; one layer alone is right.
#
# Expected: pixels that are nodata in a layer take no part in its resampling, whether the layer is reprojected alone or
# in a stack; at worst the pixel is missing in all layers.
# Observed (rasterio 1.4.4 with GDAL 3.10.3, rioxarray 0.19.0): rasterio tells GDAL that a pixel is missing only where all
# layers are nodata. Of three layers with values of 100 to 199 and nodata -9999, the one that has a gap of its own gets
# averages down to -3,248 around it, which are no nodata, so nothing masks them. In int16 the gap itself becomes -10000:
# GDAL moves values that equal nodata by one, and the layer has no nodata left there. With NaN as nodata, the gap grows.
# A WarpedVRT does so for reads of a single band as well. Nearest neighbor is right, so are layers one by one, odc-geo
# 0.5.3 (which does the latter), and averages with UNIFIED_SRC_NODATA="NO" among the options; bilinear and cubic then
# fill the margins of gaps.
# Why it matters: clouds differ by date, and the edges of an acquisition by band. A time series that was brought to
# another grid has values between reflectance and nodata around each cloud, for every layer that was not missing alone.
# Source: https://gdal.org/en/stable/api/gdalwarp_cpp.html (UNIFIED_SRC_NODATA); rasterio's and rioxarray's documentation
# of `reproject`.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check rasterio==1.4.4 rioxarray==0.19.0 xarray==2026.9.0 \
  odc-geo==0.5.3 dask==2026.8.0 numpy==2.4.6 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import odc.geo.xr
import rasterio
import rioxarray
import xarray
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT

CRS, SIDE = "EPSG:32633", 60
numbers = np.random.default_rng(0).integers(100, 200, (3, SIDE, SIDE))
gap = np.zeros(numbers.shape, bool)
gap[1, :, 20:25] = True


def stack(dtype, nodata):
    centers = np.arange(SIDE) * 10.0 + 5
    places = {"time": [0, 1, 2], "y": 5_000_000 - centers, "x": 500_000 + centers}
    cube = xarray.DataArray(np.where(gap, nodata, numbers).astype(dtype), places, ("time", "y", "x"))
    return cube.rio.write_crs(CRS).rio.write_nodata(nodata)


def summary(layer, nodata):
    """Return the smallest of the values that are not nodata, and the number of pixels that are."""
    layer = np.asarray(layer, "float64")
    missing = np.isnan(layer) | (layer == nodata)
    return round(float(layer[~missing].min())), int(missing.sum())


found = {}
for dtype, nodata in (("float32", -9999), ("int16", -9999), ("float32", np.nan)):
    cube = stack(dtype, nodata)
    for method in ("average", "nearest"):
        options = {"resolution": 30, "resampling": Resampling[method]}
        at_once = cube.rio.reproject(CRS, **options)
        with_option = cube.rio.reproject(CRS, UNIFIED_SRC_NODATA="NO", **options)
        ways = {
            "stack": at_once[1],
            "alone": cube[1].rio.reproject(CRS, **options),
            "stack, odc-geo": cube.odc.reproject(at_once.odc.geobox, resampling=method)[1],
            "stack, option NO": with_option[1],
        }
        for way, layer in ways.items():
            found[dtype, str(nodata), method, way] = summary(layer, nodata)

stack("float32", -9999).rio.to_raster("stack.tif")
with rasterio.open("stack.tif") as file, WarpedVRT(
    file, crs=CRS, transform=file.transform @ file.transform.scale(3), width=20, height=20, resampling=Resampling.average
) as warped:
    found["float32", "-9999", "average", "WarpedVRT, band 2 only"] = summary(warped.read(2), -9999)

print("rasterio", rasterio.__version__, "GDAL", rasterio.__gdal_version__, "rioxarray", rioxarray.__version__)
for key, (smallest, missing) in found.items():
    print(f"  {', '.join(key)}: from {smallest}, {missing} pixels missing")
right = {key: value for key, value in found.items() if key[-1] != "stack" and "VRT" not in key[-1]}
wrong = {key[:-1]: value for key, value in found.items() if key[-1] == "stack"}
as_recorded = (
    all(smallest >= 100 for smallest, _ in right.values())
    and len({value for key, value in right.items() if key[2] == "average"}) == 1
    and wrong["float32", "-9999", "average"][0] < -3000
    and found["float32", "-9999", "average", "WarpedVRT, band 2 only"][0] < -3000
    and wrong["int16", "-9999", "average"] == (-10000, 0)
    and wrong["float32", "nan", "average"][1] > found["float32", "nan", "average", "alone"][1]
    and all(wrong[key][0] >= 100 for key in wrong if key[2] == "nearest")
)
sys.exit(0 if as_recorded else 1)
PYTHON
