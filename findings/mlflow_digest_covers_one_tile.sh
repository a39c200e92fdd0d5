#!/usr/bin/env bash
# MLflow's digest of an image data set depends on the first image only, and of a table on the first 10,000 rows.
#
# Expected: data sets with other pixels or labels have other digests; that is what the digest in a run is for.
# Observed (MLflow 3.17.2): `mlflow.data.from_numpy` hashes the first 10,000 values, less than one tile of 64x64x13, and the
# shape. 100 tiles of which 99 were replaced by zeros have the same digest. `from_pandas` hashes the first 10,000 rows:
# half of 20,000 labels may change.
# Why it matters: the digest is shown in MLflow's UI beside the data set, and compared to tell whether two runs saw the
# same data. New imagery, or labels that were corrected, look like the same data set.
# Source: MLflow's documentation of dataset tracking, `mlflow.data`.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check mlflow-skinny==3.17.2 numpy==2.3.5 pandas==2.3.3 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import mlflow
import mlflow.data
import numpy as np
import pandas as pd

random = np.random.default_rng(0)
tiles = random.integers(0, 10_000, (100, 64, 64, 13), "uint16")
replaced, first = tiles.copy(), tiles.copy()
replaced[1:] = 0
first[0, 0, 0, 0] += 1
table = pd.DataFrame({"tile": range(20_000), "label": "forest"})
relabelled = table.copy()
relabelled.loc[10_000:, "label"] = "sea"
digest = {
    "tiles": mlflow.data.from_numpy(tiles).digest,
    "99 of 100 tiles replaced by zeros": mlflow.data.from_numpy(replaced).digest,
    "first value of the first tile changed": mlflow.data.from_numpy(first).digest,
    "99 tiles": mlflow.data.from_numpy(tiles[:99]).digest,
    "table": mlflow.data.from_pandas(table).digest,
    "10,000 of 20,000 rows relabelled": mlflow.data.from_pandas(relabelled).digest,
}
print("mlflow", mlflow.__version__)
for what, value in digest.items():
    print(f"  {value} {what}")
tile, zeros, changed, shorter, rows, labels = digest.values()
sys.exit(0 if tile == zeros != changed and tile != shorter and rows == labels else 1)
PYTHON
