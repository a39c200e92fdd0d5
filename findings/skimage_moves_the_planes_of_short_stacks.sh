#!/usr/bin/env bash
# scikit-image reads a stack of three or four planes with the planes last, and one of two or five with the planes first.
#
# Expected: `skimage.io.imread` of a TIFF reads it with tifffile and gives tifffile's array, whatever the number of planes.
# Observed (scikit-image 0.26.0, tifffile 2026.3.3): if the third axis from the end has three or four entries and the last
# one has not, it becomes the last one. A z-stack of (3, 64, 48) is read as (64, 48, 3), of 4 as (64, 48, 4), of 2 and 5 as
# they are; a time series (10, 4, 64, 48) is read as (10, 64, 48, 4). The photometric tag and OME metadata with the axes ZYX
# change nothing. Nothing warns. tifffile and imageio give the planes first.
# Why it matters: depths differ between the volumes of one data set. A projection over axis 0 of three planes has the shape
# (48, 3), a loop over planes sees rows, and a model that accepts RGB takes three depths for colors.
# Source: https://github.com/scikit-image/scikit-image/issues/5242 (open).
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check scikit-image==0.26.0 tifffile==2026.3.3 imageio==2.38.1 \
  numpy==2.4.6 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import imageio.v3
import numpy as np
import skimage
import skimage.io
import tifffile

print("scikit-image", skimage.__version__, "tifffile", tifffile.__version__, "imageio", imageio.__version__)
found, same = {}, []
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for axes, shape in (
        ("ZYX", (2, 64, 48)),
        ("ZYX", (3, 64, 48)),
        ("ZYX", (4, 64, 48)),
        ("ZYX", (5, 64, 48)),
        ("TZYX", (10, 4, 64, 48)),
        ("TZYX", (4, 10, 64, 48)),
    ):
        stack = np.random.default_rng(0).integers(0, 60_000, shape, "uint16")
        tifffile.imwrite("plain.tif", stack, photometric="minisblack")
        tifffile.imwrite("stack.ome.tif", stack, photometric="minisblack", metadata={"axes": axes})
        for file in ("plain.tif", "stack.ome.tif"):
            read = skimage.io.imread(file)
            found[shape, file] = read.shape
            same += [np.array_equal(other, stack) for other in (tifffile.imread(file), imageio.v3.imread(file))]
            same.append(read.shape == shape or np.array_equal(np.moveaxis(read, -1, -3), stack))
            print(f"  {axes} {shape}, {file}: {read.shape} in skimage, {tifffile.imread(file).shape} in tifffile")
print("  the values are the same:", all(same), "warnings:", [str(one.message) for one in caught])
moved = {(3, 64, 48): (64, 48, 3), (4, 64, 48): (64, 48, 4), (10, 4, 64, 48): (10, 64, 48, 4)}
as_recorded = all(read == moved.get(shape, shape) for (shape, _), read in found.items()) and all(same) and not caught
sys.exit(0 if as_recorded else 1)
PYTHON
