#!/usr/bin/env bash
# PCA of float32 pixels at about 300: the small components are not those of the data, and the last ones have no variance.
#
# Expected: PCA subtracts the mean first, so float32 gives the components of float64 to some digits.
# Observed (scikit-learn 1.9.1): for 1,000 columns or fewer and ten times as many rows, svd_solver="auto" takes
# covariance_eigh, which computes X'X of the pixels as they are and subtracts the square of the mean afterwards. Of eight
# thermal bands at 295 K with a noise of 0.1 K, the standard deviations of the last six components are 0.23 to 0 K instead
# of 0.1 K each. `whiten=True` divides by them: components come out with standard deviations of up to a million instead of
# 1. svd_solver="full", float64 and the same pixels without their mean are right; nothing warns.
# Why it matters: bands, brightness temperatures and elevations have means far above their differences, and are float32.
# Anomalies, changes and noise are in the small components. The documentation says that the solver works on centered data
# and may be less accurate for small singular values. Subtract the mean before PCA, or use float64.
# Source: https://scikit-learn.org/stable/modules/generated/sklearn.decomposition.PCA.html (svd_solver).
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
from sklearn.decomposition import PCA

warnings.simplefilter("error")
BANDS = 8

rng = np.random.default_rng(0)
surface = rng.normal(0, 4, (50_000, 1)) * np.linspace(1, 0.9, BANDS)
emissivity = rng.normal(0, 0.5, (50_000, 1)) * np.linspace(-1, 1, BANDS)
kelvins = 295 + surface + emissivity + rng.normal(0, 0.1, (50_000, BANDS))
single = kelvins.astype(np.float32)
centered = (kelvins - kelvins.mean(axis=0)).astype(np.float32)

print("scikit-learn", sklearn.__version__)
found = {}
for name, pixels, solver in (
    ("float64, auto", kelvins, "auto"),
    ("float32, full", single, "full"),
    ("float32 without its mean, auto", centered, "auto"),
    ("float32, auto", single, "auto"),
):
    model = PCA(svd_solver=solver, whiten=True).fit(pixels)
    found[name] = np.sqrt(model.explained_variance_), model.transform(pixels).std(axis=0, dtype=np.float64)
    print(f"{name}\n  standard deviations in K:", found[name][0].round(3))
    print("  after whitening:", [f"{one:.3g}" for one in found[name][1]])
*sound, (deviations, whitened) = found.values()
as_recorded = (
    all(np.allclose(one[2:], 0.1, atol=0.005) and np.allclose(white, 1, atol=0.01) for one, white in sound)
    and deviations[2] > 0.15
    and deviations[-1] < 0.05
    and whitened.max() > 2
)
sys.exit(0 if as_recorded else 1)
PYTHON
