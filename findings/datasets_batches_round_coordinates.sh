#!/usr/bin/env bash
# With NumPy as the format, a row of a Hugging Face data set has float64, the column of the same name float32.
#
# Expected: a column whose feature is float64 is a NumPy array of float64, and has the values of its rows.
# Observed (datasets 5.2.0): with_format("numpy") gives float64 for one row, and float32 for a column, a slice or a batch.
# Of three times within a minute in seconds since 1970, all three are equal then; northings of 5,000,000.3 m move by
# 0.2 m. `map(batched=True)` of such a set computes with these numbers and stores them as if they were float64; without
# batches it is exact. The formats "pandas" and "arrow" keep float64, and int64 stays int64. Nothing warns.
# Why it matters: times and projected coordinates of tiles are float64 because float32 cannot hold them. A function that
# is right for one row merges neighbors once it gets batches, and joins on times find other tiles. Ask for
# with_format("numpy", dtype=numpy.float64).
# Source: https://huggingface.co/docs/datasets/use_with_numpy.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check datasets==5.2.0 pyarrow==26.0.1 numpy==2.4.6 || exit 2
export HF_HOME="$folder/cache" HF_HUB_OFFLINE=1 HF_DATASETS_DISABLE_PROGRESS_BARS=1
"$folder/venv/bin/python" -W error::UserWarning -W error::RuntimeWarning - <<'PYTHON'
import sys

import datasets
import numpy as np

TIMES = [1_700_000_001.0, 1_700_000_002.0, 1_700_000_060.0]
NORTHINGS = [5_000_000.3, 5_000_000.4, 5_000_000.8]


def an_hour_later(rows):
    return {"later": rows["time"] + 3600.0}


tiles = datasets.Dataset.from_dict({"time": TIMES, "northing": NORTHINGS})
formatted = tiles.with_format("numpy")
wide = tiles.with_format("numpy", dtype=np.float64)
columns = {
    "rows": np.array([row["time"] for row in formatted]),
    "column": formatted["time"][:],
    "slice": formatted[:]["time"],
    "batch": next(formatted.iter(batch_size=3))["time"],
    "pandas": tiles.with_format("pandas")[:]["time"].to_numpy(),
    "dtype=float64": wide["time"][:],
    "northings": formatted["northing"][:],
}
later = {
    "map": formatted.map(an_hour_later).with_format(None)["later"][:],
    "map in batches": formatted.map(an_hour_later, batched=True).with_format(None)["later"][:],
}
print("datasets", datasets.__version__, tiles.features)
for name, values in columns.items():
    print(f"  {name}:", values.dtype, values.tolist())
print("  an hour later:", later)
rounded = {name for name, values in columns.items() if values.dtype == np.float32}
as_recorded = (
    rounded == {"column", "slice", "batch", "northings"}
    and all(columns[name].tolist() == TIMES for name in ("rows", "pandas", "dtype=float64"))
    and len(set(columns["column"].tolist())) == 1
    and max(abs(columns["northings"].astype(float) - NORTHINGS)) > 0.15
    and later["map"] == [time + 3600 for time in TIMES]
    and len(set(later["map in batches"])) == 1
)
sys.exit(0 if as_recorded else 1)
PYTHON
