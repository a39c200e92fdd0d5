#!/usr/bin/env bash
# A JPEG 2000 tile that is written to memory has no place on the ground and no alpha, since its name has no suffix.
#
# Expected: the driver decides the format, so the bytes of a MemoryFile are those of a file.
# Observed (rasterio 1.4.4 with GDAL 3.10.3): the driver JP2OpenJPEG decides by the name. A MemoryFile without a name
# gets a bare codestream, which cannot hold CRS, transform and the role of a channel; they are dropped without an error.
# With ext=".jp2" they are kept.
# Why it matters: services cut Sentinel-2 tiles in memory and put the bytes into a bucket or a response. The pixels are
# right, the tiles lie nowhere, and the mask has become a fourth band.
# Source: GDAL's documentation of the driver, creation option CODEC, whose default depends on the suffix of the name.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 rasterio==1.4.4 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import warnings

import numpy as np
import rasterio
from rasterio.enums import ColorInterp
from rasterio.io import MemoryFile
from rasterio.transform import from_origin

warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
pixels = np.random.default_rng(0).integers(0, 255, (4, 64, 64), "uint8")
place = {"crs": "EPSG:32631", "transform": from_origin(500000, 5500000, 10, 10)}
lossless = {"QUALITY": 100, "REVERSIBLE": "YES", "ALPHA": "YES"}
print("rasterio", rasterio.__version__, "GDAL", rasterio.__gdal_version__)
seen = {}
for suffix in ("", ".jp2"):
    with MemoryFile(ext=suffix) as memory:
        with memory.open(driver="JP2OpenJPEG", height=64, width=64, count=4, dtype="uint8", **place, **lossless) as file:
            file.write(pixels)
        data = memory.read()
    with MemoryFile(data, ext=".jp2") as memory, memory.open() as file:
        same = bool((file.read() == pixels).all())
        seen[suffix] = same, file.crs is not None, file.colorinterp[-1] == ColorInterp.alpha
    print(f"ext={suffix!r}: begins with {data[:4]!r}; pixels, CRS, alpha:", *seen[suffix])
raise SystemExit(0 if seen == {"": (True, False, False), ".jp2": (True, True, True)} else 1)
PYTHON
