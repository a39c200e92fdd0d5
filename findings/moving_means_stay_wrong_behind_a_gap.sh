#!/usr/bin/env bash
# One nodata pixel in a moving mean: SciPy and xarray with Bottleneck spoil all that follows it, not only its window.
#
# Expected: a mean over 7 x 7 pixels is wrong up to 3 pixels around a nodata value, so a mask that is grown by 3 hides it.
# Observed (SciPy 1.17.1, xarray 2026.9.0, Bottleneck 1.6.0): both keep a running sum, from which adding and subtracting
# -3.4e38, 9.97e36 or 1e20 removes all other numbers. `uniform_filter` of a float32 scene around 0.01 with one such pixel
# gives -0.003 to 0.002 in seven rows up to the right edge, and too little below: 2,226 pixels beside the 49 are wrong,
# without a message. `convolve` with the same weights is right there. xarray's rolling mean of an NDVI of 0.2 to 0.8 is 0
# to -0.43 for all dates after one gap if Bottleneck is installed, and right if it is not; pandas is right.
# Why it matters: these are the usual fill values of GDAL, NetCDF and CF. Speckle filters and texture are built on
# uniform_filter, and smoothed series on rolling means; behind a grown mask, values around 0 look like water. SciPy's
# documentation warns of NaN and of narrow types, not of this. Fill the gaps before the mean.
# Source: https://docs.scipy.org/doc/scipy/reference/generated/scipy.ndimage.uniform_filter.html.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check scipy==1.17.1 numpy==2.4.6 xarray==2026.9.0 \
  Bottleneck==1.6.0 pandas==3.1.1 || exit 2
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import bottleneck
import numpy as np
import pandas as pd
import scipy
import xarray as xr
from scipy.ndimage import convolve, uniform_filter

FILLS = (-3.4028234663852886e38, 9.969209968386869e36, 1e20)

scene = (0.01 * np.random.default_rng(0).gamma(4, 0.25, (256, 256))).astype(np.float32)
clean = uniform_filter(scene, 7)
near = np.zeros(scene.shape, bool)
near[97:104, 83:90] = True
ndvi = np.array([0.5, 0.6, 0.7, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.3, 0.4])
truth = np.convolve(ndvi, np.ones(3) / 3, "valid")[3:]


def spoiled(means):
    """Count the pixels outside the window of the gap that are wrong by more than 1 %."""
    return int((np.abs(means - clean) > 0.01 * clean)[~near].sum())


def rolling(series, with_bottleneck):
    with xr.set_options(use_bottleneck=with_bottleneck, use_numbagg=False):
        return xr.DataArray(series, dims="time").rolling(time=3).mean().values[5:]


print("scipy", scipy.__version__, "xarray", xr.__version__, "bottleneck", bottleneck.__version__, "pandas", pd.__version__)
as_recorded = True
for fill in FILLS:
    gap, series = scene.copy(), ndvi.copy()
    gap[100, 86], series[2] = fill, fill
    filtered, convolved = uniform_filter(gap, 7), convolve(gap, np.full((7, 7), 1 / 49))
    behind = filtered[97:104, 90:]
    fast, slow = rolling(series, True), rolling(series, False)
    other = pd.Series(series).rolling(3).mean().to_numpy()[5:]
    print(f"fill value {fill:.3g}")
    print("  wrong outside the window: uniform_filter", spoiled(filtered), "convolve", spoiled(convolved))
    print("  uniform_filter behind it:", behind.min(), "to", behind.max())
    print("  rolling mean with Bottleneck:", fast.round(2), "without:", slow.round(2), "pandas:", other.round(2))
    as_recorded &= (
        spoiled(filtered) > 1_000
        and np.abs(behind).max() < 0.004
        and spoiled(convolved) == 0
        and fast.max() <= 0
        and np.allclose(slow, truth)
        and np.allclose(other, truth)
    )
sys.exit(0 if as_recorded else 1)
PYTHON
