#!/usr/bin/env bash
# An exact FAISS index gives a vector other neighbors when it is asked for in a batch of 351 than in one of 350.
#
# Expected: IndexFlatL2 compares with all vectors, so the neighbors of a vector do not depend on the others in the call.
# Observed (faiss-cpu 1.15.1): from 128,000 numbers in a batch on (351 vectors of 365 numbers, 167 of 768), distances are
# |x|^2 - 2xy + |y|^2 in float32, below they are sums of differences. For a year of daily surface temperatures in kelvins
# with a noise of 0.5 K, batches up to 350 find all of the five nearest pixels, those from 351 on find 1 of 5, and their
# squared distances are multiples of 4: 136, 136, 140 instead of 146.3, 150.4, 151.1. Without the common mean of 290 K
# both find all. Nothing warns.
# Why it matters: a search that is tested with a few tiles is right, and the run over the archive is not. So are thresholds
# for near duplicates. Features with a mean far above their differences are series of temperature, spectra and raw digital
# numbers; subtract their mean first, or raise faiss.cvar.distance_compute_blas_threshold.
# Source: https://github.com/facebookresearch/faiss/wiki/Implementation-notes (matrix multiplication to do distances).
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check faiss-cpu==1.15.1 numpy==2.4.6 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import faiss
import numpy as np

DAYS, PIXELS, ASKED = 365, 4_000, 50

rng = np.random.default_rng(0)
season = 10 * np.sin(np.arange(DAYS) / 58)
kelvins = (290 + season + rng.normal(0, 0.5, (PIXELS, DAYS))).astype(np.float32)
anomalies = kelvins - np.float32(290)


def exact(series):
    """Return the five nearest other pixels of the first ones, from differences in float64."""
    wide = series.astype(np.float64)
    squared = [((wide - one) ** 2).sum(axis=1) for one in wide[:ASKED]]
    return np.argsort(squared, axis=1)[:, 1:6]


def found(series, batch):
    """Return the share of these neighbors that a batch finds, and the distances of the first pixel."""
    index = faiss.IndexFlatL2(DAYS)
    index.add(series)
    distances, neighbors = index.search(series[:batch], 6)
    pairs = zip(neighbors[:ASKED, 1:], exact(series), strict=True)
    return float(np.mean([len(set(one) & set(other)) / 5 for one, other in pairs])), distances[0, 1:4].tolist()


print("faiss", faiss.__version__, "numpy", np.__version__)
shares = {}
for name, series in (("kelvins", kelvins), ("without the mean", anomalies)):
    for batch in (50, 350, 351, 1_000):
        shares[name, batch], distances = found(series, batch)
        print(f"  {name}, {batch} at once: {shares[name, batch]:.2f} of the neighbors,", np.round(distances, 1))
faiss.cvar.distance_compute_blas_threshold = 10**9
raised, _ = found(kelvins, 1_000)
print(f"  kelvins, 1000 at once, threshold raised: {raised:.2f} of the neighbors")
as_recorded = (
    all(shares["kelvins", batch] > 0.99 for batch in (50, 350))
    and all(shares["kelvins", batch] < 0.5 for batch in (351, 1_000))
    and all(shares["without the mean", batch] > 0.95 for batch in (50, 350, 351, 1_000))
    and raised > 0.99
)
sys.exit(0 if as_recorded else 1)
PYTHON
