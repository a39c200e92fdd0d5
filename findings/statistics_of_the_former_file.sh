#!/usr/bin/env bash
# rasterio's `statistics` of a file can be those of a file that was there before.
#
# Expected: statistics are computed from the pixels when they are asked for; a reader leaves no file behind.
# Observed (rasterio 1.4.4, GDAL 3.10): a dataset opened for reading writes `scene.tif.aux.xml` beside the file when it is
# closed. Where another library replaces the file, later calls give mean, minimum and maximum of the former pixels.
# `clear_cache=True` computes them. rasterio itself removes the sidecar when it writes a file.
# Why it matters: a mean and a standard deviation for normalization, or an alert for drift, of tiles that are written anew
# each night under the same names by another tool (tifffile, a download, `cp`) stay those of the first night.
# Source: GDAL's persistent auxiliary metadata; rasterio's `DatasetReader.statistics`.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check rasterio==1.4.4 tifffile==2026.3.3 numpy==2.3.5 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import os
import sys
import warnings

import numpy as np
import rasterio
import tifffile

warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)


def mean(**options):
    with rasterio.open("scene.tif") as source:
        return source.statistics(1, **options).mean, float(source.read(1).mean())


def written_by_tifffile(value):
    tifffile.imwrite("scene.tif", np.full((32, 32), value, "uint16"))
    return mean()


def written_by_rasterio(value):
    with rasterio.open("scene.tif", "w", driver="GTiff", width=32, height=32, count=1, dtype="uint16") as out:
        out.write(np.full((32, 32), value, "uint16"), 1)
    return mean()


seen = {"first night, tifffile": written_by_tifffile(1000), "second night, tifffile": written_by_tifffile(3000)}
beside = sorted(os.listdir())
seen |= {"the same, clear_cache": mean(clear_cache=True), "third night, rasterio": written_by_rasterio(2000)}
print("rasterio", rasterio.__version__, "GDAL", rasterio.__gdal_version__, "tifffile", tifffile.__version__)
print("  files:", *(name for name in beside if name.startswith("scene")))
for night, (stated, true) in seen.items():
    print(f"  {night}: mean by statistics {stated:.0f}, of the pixels {true:.0f}")
sys.exit(0 if "scene.tif.aux.xml" in beside and list(seen.values()) == [
    (1000, 1000), (1000, 3000), (3000, 3000), (2000, 2000)] else 1)
PYTHON
