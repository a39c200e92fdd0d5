#!/usr/bin/env bash
# The mean of a band over a data set in memory is too small by half, if the bands are the last axis.
#
# Expected: the mean of float32 pixels is right to a few digits, as it is for one tile, whatever the order of the axes.
# Observed (NumPy 2.4.6, xarray 2026.4.0): over (tiles, rows, columns) with the bands last, as TensorFlow takes tiles,
# NumPy adds pixel after pixel to one float32 per band. From 2^24 times a pixel's value on, a pixel no longer changes the
# sum: of 10,000 tiles of 64x64 pixels around 1,500 the mean is 1,010 and the standard deviation 600 instead of 400. With
# the bands first, or before the rows, or in uint16, the same pixels give 1,500 and 400. xarray gives the same wrong mean
# for named dimensions. Nothing warns, and 1,000 tiles are still right to four digits.
# Why it matters: band statistics for normalization, published with a data set or pasted into a configuration, are wrong
# by a factor that grows with the number of tiles, and training works nevertheless, only worse. Pass dtype="float64", or
# add up tile by tile.
# Source: NumPy's documentation of numpy.sum and numpy.mean (notes on pairwise summation along the fast axis).
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 xarray==2026.4.0 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import xarray as xr

pixels = np.random.default_rng(0).normal(1500, 400, (10_000, 64, 64, 2))
tiles = np.clip(pixels, 1, None).astype("float32")
bands_second = np.ascontiguousarray(np.moveaxis(tiles, -1, 1))
cube = xr.DataArray(tiles, dims=("tile", "y", "x", "band"))
found = {
    "1,000 tiles, bands last": tiles[:1000].mean(axis=(0, 1, 2)),
    "10,000 tiles, bands last": tiles.mean(axis=(0, 1, 2)),
    "xarray": cube.mean(("tile", "y", "x")).to_numpy(),
    "standard deviation": tiles.std(axis=(0, 1, 2)),
    "bands before rows": bands_second.mean(axis=(0, 2, 3)),
    "uint16": tiles.astype("uint16").mean(axis=(0, 1, 2)),
    "float64 sums": tiles.mean(axis=(0, 1, 2), dtype="float64"),
    "standard deviation, float64 sums": tiles.std(axis=(0, 1, 2), dtype="float64"),
}
for name, values in found.items():
    print(f"{name}:", ", ".join(f"{value:.1f}" for value in values))
first = {name: float(values[0]) for name, values in found.items()}
wrong = first["10,000 tiles, bands last"] < 1100 and first["xarray"] < 1100 and first["standard deviation"] > 550
right = all(abs(first[name] - 1500) < 2 for name in ("1,000 tiles, bands last", "bands before rows", "uint16", "float64 sums"))
if not (wrong and right and abs(first["standard deviation, float64 sums"] - 400) < 1):
    print("changed")
    sys.exit(1)
print("as recorded")
PYTHON
