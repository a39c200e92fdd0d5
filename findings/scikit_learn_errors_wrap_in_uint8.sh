#!/usr/bin/env bash
# Errors of maps in uint8: scikit-learn's mean error is right, its median and maximum count modulo 256.
#
# Expected: mean, median and maximum of |truth - prediction| belong to one set of numbers, whatever the type of the arrays.
# Observed (scikit-learn 1.9.1, NumPy 2.4.6): mean_absolute_error and root_mean_squared_error take uint8 and uint16 as
# numbers. median_absolute_error and max_error subtract in the type of the arrays: of a map of canopy heights that is wrong
# by at most 3 m, with a mean of 1.6 m, the median error is 253 m and the largest 255 m; in uint16 they are 65,533 and
# 65,535. The median does so where the map is too low, the maximum where it is too high. Nothing warns, and as soon as one
# of the arrays is a float, all are right.
# Why it matters: maps of canopy height, tree cover and biomass are stored in uint8 and uint16, and truth and prediction
# are both read from such files. The median only jumps once half of the map is too low: until then, it is merely wrong.
# Convert both to float64 first.
# Source: https://scikit-learn.org/stable/modules/generated/sklearn.metrics.max_error.html.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check scikit-learn==1.9.1 numpy==2.4.6 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import numpy as np
import sklearn
from sklearn import metrics

warnings.simplefilter("error")
NAMES = ["mean_absolute_error", "root_mean_squared_error", "median_absolute_error", "max_error"]

rng = np.random.default_rng(0)
truth = rng.integers(5, 41, 10_000)
heights = truth + rng.choice([-3, -2, -1, 0, 1, 2, 3], truth.size, p=[0.15, 0.25, 0.15, 0.1, 0.2, 0.1, 0.05])

print("scikit-learn", sklearn.__version__, "numpy", np.__version__)
found = {}
for type_ in (np.float64, np.uint8, np.uint16):
    name = np.dtype(type_).name
    found[name] = [float(getattr(metrics, one)(truth.astype(type_), heights.astype(type_))) for one in NAMES]
mixed = float(metrics.max_error(truth.astype(np.uint8), heights.astype(np.float32)))
for position, one in enumerate(NAMES):
    print(f"  {one:24}", {name: round(values[position], 2) for name, values in found.items()})
print("  max_error of uint8 and float32:", mixed)
exact, bytes_, words = found.values()
as_recorded = (
    np.allclose(bytes_[:2], exact[:2])
    and np.allclose(words[:2], exact[:2])
    and exact[2:] == [2, 3]
    and bytes_[2:] == [253, 255]
    and words[2:] == [65_533, 65_535]
    and mixed == 3
)
sys.exit(0 if as_recorded else 1)
PYTHON
