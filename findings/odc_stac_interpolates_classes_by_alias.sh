#!/usr/bin/env bash
# A scene classification that odc-stac loads by its common name is interpolated, though nearest is asked for its asset.
#
# Expected: `resampling={"*": "bilinear", "SCL": "nearest"}` holds for the asset SCL, by whatever name it is loaded; or a
# name in `resampling` that is not among the loaded ones raises.
# Observed (odc-stac 0.5.3, odc-loader 0.6.5): `bands` takes aliases such as `scl` and `red`, `resampling` only the names as
# they stand in `bands`. With bands ["red", "scl"] and "SCL" in `resampling`, or the other way round, the class falls to "*":
# of vegetation (4) and cloud (9) in fields of 160 m, 13 % of the pixels become bare soil (5), water (6), 7 or 8. A
# misspelled name is ignored alike. Nothing warns.
# Why it matters: Sentinel-2's classes have 20 m and are loaded at 10 m beside the bands, so each border between two classes
# gets a seam of others. They are valid classes: water along the edges of clouds is in no list of wrong values.
# Source: https://odc-stac.readthedocs.io/en/latest/_api/odc.stac.load.html (bands, resampling) and
# https://github.com/opendatacube/datacube-core/issues/887 (the same in datacube, closed).
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check odc-stac==0.5.3 odc-loader==0.6.5 odc-geo==0.5.3 \
  rasterio==1.4.4 pystac==1.15.2 xarray==2026.9.0 numpy==2.4.6 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import datetime
import importlib.metadata
import pathlib
import sys
import warnings

import numpy as np
import odc.stac
import pystac
import rasterio

rng = np.random.default_rng(0)
assets = {
    "B04": ("red", 10, rng.integers(200, 3000, (160, 160), "uint16")),
    "SCL": ("scl", 20, np.kron(rng.choice([4, 9], (10, 10)), np.ones((8, 8))).astype("uint8")),
}
item = pystac.Item(
    "scene",
    {"type": "Polygon", "coordinates": [[[15, 45.14], [15.03, 45.14], [15.03, 45.16], [15, 45.16], [15, 45.14]]]},
    [15, 45.14, 15.03, 45.16],
    datetime.datetime(2026, 6, 1, 10, tzinfo=datetime.UTC),
    {"proj:code": "EPSG:32633"},
    stac_extensions=[
        "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
        "https://stac-extensions.github.io/eo/v1.1.0/schema.json",
        "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
    ],
    collection="sentinel-2-l2a",
)
for key, (name, size, pixels) in assets.items():
    file = pathlib.Path(f"{key}.tif").absolute()
    transform = rasterio.transform.from_origin(500_000, 5_000_000, size, size)
    rows, columns = pixels.shape
    with rasterio.open(
        file,
        "w",
        driver="GTiff",
        height=rows,
        width=columns,
        count=1,
        dtype=pixels.dtype,
        nodata=0,
        crs="EPSG:32633",
        transform=transform,
    ) as opened:
        opened.write(pixels, 1)
    fields = {
        "proj:shape": [rows, columns],
        "proj:transform": list(transform)[:6],
        "eo:bands": [{"name": key, "common_name": name}],
        "raster:bands": [{"data_type": str(pixels.dtype), "nodata": 0}],
    }
    item.add_asset(key, pystac.Asset(str(file), media_type=pystac.MediaType.COG, roles=["data"], extra_fields=fields))
print("odc-stac", odc.stac.__version__, "odc-loader", importlib.metadata.version("odc-loader"))
found = {}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for bands, resampling in (
        (["B04", "SCL"], {"*": "bilinear", "SCL": "nearest"}),
        (["red", "scl"], {"*": "bilinear", "scl": "nearest"}),
        (["red", "scl"], {"*": "bilinear", "SCL": "nearest"}),
        (["B04", "SCL"], {"*": "bilinear", "scl": "nearest"}),
        (["B04", "SCL"], {"*": "bilinear", "SLC": "nearest"}),
    ):
        loaded = odc.stac.load([item], bands=bands, resampling=resampling, resolution=10, crs="EPSG:32633")
        classes = loaded[bands[1]].values
        invented = float((~np.isin(classes, [4, 9])).mean())
        found[bands[1], list(resampling)[1]] = [int(one) for one in np.unique(classes)], invented
        print(f"  bands {bands}, resampling {resampling}:", end=" ")
        print(f"classes {np.unique(classes)}, {invented:.0%} of the pixels invented")
own = [one for one in caught if not issubclass(one.category, DeprecationWarning | PendingDeprecationWarning)]
print("  warnings:", [str(one.message) for one in own])
right = {("SCL", "SCL"), ("scl", "scl")}
as_recorded = (
    all(found[names] == ([4, 9], 0) for names in right)
    and all(
        values[0] == [4, 5, 6, 7, 8, 9] and values[1] > 0.05 for names, values in found.items() if names not in right
    )
    and not own
)
sys.exit(0 if as_recorded else 1)
PYTHON
