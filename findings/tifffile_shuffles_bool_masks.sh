#!/usr/bin/env bash
# Masks of several classes that tifffile writes with one bit per sample are scattered over the row: nearly half are wrong.
#
# Expected: tifffile.imwrite of a boolean array (rows, columns, classes) with planarconfig "contig" gives a file with one bit
# per sample that reads back as the array, or refuses it.
# Observed (tifffile 2026.3.3, rasterio 1.4.4 with GDAL 3.10.3): each byte gets eight pixels of one class, while the tags say
# that the classes of a pixel stand side by side. tifffile and GDAL read the same pixels from it, 46 % of them wrong: a class
# that fills the left half of 16 columns is read as the first two or three columns of all classes. Strips, tiles and all
# compressions are alike. Nothing warns. GDAL's file with the same tags is read correctly by both; so are planarconfig
# "separate" with the classes first, and uint8. The masks can be restored from the file if its width is a multiple of 8.
# Why it matters: the file has the right shape, type and number of ones, so labels of several classes per pixel pass every
# check that does not compare pixels, and a model trained on them learns nothing.
# Source: tifffile's documentation of `TiffWriter.write` (planarconfig; bilevel images).
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tifffile==2026.3.3 imagecodecs==2026.3.6 rasterio==1.4.4 \
  numpy==2.4.6 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import logging
import sys
import warnings

import numpy as np
import rasterio
import tifffile

warnings.filterwarnings("ignore", category=rasterio.errors.NotGeoreferencedWarning)
records = []
logging.getLogger("tifffile").addFilter(lambda record: records.append(record.getMessage()) or True)
masks = np.random.default_rng(0).random((64, 96, 3)) < 0.5
first = np.moveaxis(masks, 2, 0)


def right(file):
    """Return the share of the bits that tifffile and GDAL read as in `masks`, and whether both read the same ones."""
    own = tifffile.imread(file)
    own = np.moveaxis(own, 2, 0) if own.shape == masks.shape else own
    with rasterio.open(file) as opened:
        other = opened.read()
    return float((own == first).mean().round(2)), float((other == first).mean().round(2)), bool((own == other).all())


found = {}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for name, options in {
        "strips": {},
        "tiles, zlib": {"tile": (32, 32), "compression": "zlib"},
        "PackBits": {"compression": "packbits"},
    }.items():
        tifffile.imwrite("masks.tif", masks, photometric="minisblack", planarconfig="contig", **options)
        found[f"bool, contig, {name}"] = right("masks.tif")
        ones = int(tifffile.imread("masks.tif").sum())
    warned = [str(one.message) for one in caught if one.category is not rasterio.errors.NotGeoreferencedWarning] + records
tifffile.imwrite("separate.tif", first, photometric="minisblack", planarconfig="separate")
found["bool, separate"] = right("separate.tif")
tifffile.imwrite("bytes.tif", masks.astype("uint8"), photometric="minisblack", planarconfig="contig")
found["uint8, contig"] = right("bytes.tif")
shape = {"driver": "GTiff", "height": 64, "width": 96, "count": 3, "dtype": "uint8"}
with rasterio.open("gdal.tif", "w", nbits=1, interleave="pixel", **shape) as file:
    file.write(first.astype("uint8"))
found["GDAL, one bit, interleaved by pixel"] = right("gdal.tif")
same_tags = all(
    len({getattr(tifffile.TiffFile(name).pages[0], tag) for name in ("masks.tif", "gdal.tif")}) == 1
    for tag in ("bitspersample", "samplesperpixel", "planarconfig")
)
written = tifffile.imread("masks.tif")
groups = np.packbits(written.reshape(64, -1), axis=1).reshape(64, 96 // 8, 3)
restored = bool((np.unpackbits(groups, axis=1) == masks).all())
halves = np.zeros((8, 16, 3), bool)
halves[:, :8, 0] = True
tifffile.imwrite("halves.tif", halves, photometric="minisblack", planarconfig="contig")
print("tifffile", tifffile.__version__, "rasterio", rasterio.__version__, "GDAL", rasterio.__gdal_version__)
for way, (own, other, same) in found.items():
    print(f"  {way}: right in tifffile {own}, in GDAL {other}, the same in both: {same}")
print(f"  ones written {masks.sum()}, read {ones}; same tags as GDAL's file: {same_tags}; restored: {restored}")
print("  warnings:", warned)
rows = tifffile.imread("halves.tif")[0].T.astype(int)
for number, row in enumerate(rows):
    print(f"  class 0 in the left half, class {number} as read: {''.join(map(str, row))}")
wrong = [values for way, values in found.items() if way.startswith("bool, contig")]
others = [values for way, values in found.items() if not way.startswith("bool, contig")]
as_recorded = (
    all(0.4 < own < 0.65 and own == other and same for own, other, same in wrong)
    and all(values == (1.0, 1.0, True) for values in others)
    and ones == masks.sum()
    and same_tags
    and not warned
    and restored
    and [list(np.flatnonzero(row)) for row in rows] == [[0, 1, 2], [0, 1, 2], [0, 1]]
)
sys.exit(0 if as_recorded else 1)
PYTHON
