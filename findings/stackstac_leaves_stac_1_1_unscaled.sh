#!/usr/bin/env bash
# stackstac applies scale and offset of STAC 1.0 items, and ignores those of STAC 1.1, within one stack as well.
#
# Expected: `stack` gives reflectances of both items of one scene, described by STAC 1.0 (`raster:bands`) and by STAC 1.1
# (`raster:scale` and `raster:offset` of the asset or its `bands`); its option `rescale` is on by default.
# Observed (stackstac 0.5.1, pystac 1.15.2): 0.1 for the item of STAC 1.0, as 2000 · 0.0001 - 0.1; the stored 2000 for that
# of STAC 1.1. A stack of both is one array of float64 with 0.1 and 2000, without a warning.
# Why it matters: catalogs move to STAC 1.1 item by item, the new scenes first. A time series or a set of tiles then jumps
# by a factor of 10,000, and lacks the offset of Sentinel-2's processing baseline 04.00; where the whole catalog moves, a
# model gets stored numbers instead of reflectances from one day to the next.
# Source: https://github.com/radiantearth/stac-spec/blob/v1.1.0/CHANGELOG.md (bands);
# https://github.com/stac-extensions/raster/blob/v2.0.0/README.md;
# https://stackstac.readthedocs.io/en/latest/api/main/stackstac.stack.html (rescale).
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  stackstac==0.5.1 pystac==1.15.2 rasterio==1.4.4 numpy==2.4.6 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import warnings

import numpy as np
import pystac
import rasterio
import stackstac
from rasterio.transform import from_origin

BOUNDS = (500_000, 4_999_960, 500_040, 5_000_000)
STATED = {
    "1.0.0, raster:bands": {"raster:bands": [{"scale": 0.0001, "offset": -0.1}]},
    "1.1.0, asset": {"raster:scale": 0.0001, "raster:offset": -0.1},
    "1.1.0, bands": {"bands": [{"name": "B04", "raster:scale": 0.0001, "raster:offset": -0.1}]},
}

profile = {"driver": "GTiff", "width": 4, "height": 4, "count": 1, "dtype": "uint16", "crs": "EPSG:32633"}
with rasterio.open("B04.tif", "w", transform=from_origin(500_000, 5_000_000, 10, 10), **profile) as file:
    file.write(np.full((1, 4, 4), 2000, "uint16"))


def item(name):
    """Return an item of the file, in one of the ways to state scale and offset."""
    version, fields = name.split(",")[0], STATED[name]
    extension = {"1.0.0": "v1.1.0", "1.1.0": "v2.0.0"}[version]
    asset = {"href": "B04.tif", "type": pystac.MediaType.GEOTIFF, "roles": ["data"]}
    place = {"proj:shape": [4, 4], "proj:transform": [10, 0, 500_000, 0, -10, 5_000_000]}
    return pystac.Item.from_dict(
        {
            "type": "Feature",
            "stac_version": version,
            "stac_extensions": [f"https://stac-extensions.github.io/raster/{extension}/schema.json"],
            "id": name,
            "geometry": None,
            "bbox": [15, 45.1, 15.01, 45.16],
            "properties": {"datetime": "2026-01-01T00:00:00Z", "proj:epsg": 32633},
            "links": [],
            "assets": {"B04": asset | place | fields},
        }
    )


def stacked(*names):
    """Return the value of one pixel in a stack of items, for each of them."""
    stack = stackstac.stack([item(name) for name in names], epsg=32633, resolution=10, bounds=BOUNDS)
    return {str(name): round(float(value), 4) for name, value in zip(stack["id"].values, stack.values[:, 0, 0, 0])}


with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    alone = {name: stacked(name)[name] for name in STATED}
    together = stacked(*STATED)
about_scale = [str(one.message) for one in warned if "scale" in str(one.message)]
print(f"alone: {alone}\ntogether: {together}\nwarnings about scale: {about_scale}")
recorded = {"1.0.0, raster:bands": 0.1, "1.1.0, asset": 2000.0, "1.1.0, bands": 2000.0}
if (alone, together, about_scale) != (recorded, recorded, []):
    print("CHANGED: recorded were", recorded)
    raise SystemExit(1)
print("as recorded")
PYTHON
