#!/usr/bin/env bash
# The mean of the bands of a row is 22 for 200 and 100: Polars adds columns of uint8 modulo 256, then divides.
#
# Expected: a mean lies between the smallest and the largest value. Polars sums uint8 down a column, in a window, a list
# and a group in int64.
# Observed (Polars 2.1.0): sum_horizontal of two columns of UInt8 is UInt8 (200 + 100 = 44), and mean_horizontal is the
# half of it as a float: 22.0. For UInt16 it happens above 65,535. `dot` of 200, 100 and 100, 50 has the type Int64 and the
# value 168 instead of 25,000. `sum`, `cum_sum`, `rolling_sum`, `list.sum`, `arr.sum` and the same mean in pandas are right.
# Why it matters: the brightness of a tile is such a mean of its bands, and tiles are uint8. A bright tile gets a dark
# value, and a float does not look like an overflow. Dim tiles are right. Cast the columns first, or make them a list.
# Source: https://docs.pola.rs/api/python/stable/reference/expressions/api/polars.mean_horizontal.html.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check polars==2.1.0 pandas==3.1.1 numpy==2.4.6 || exit 2
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import numpy as np
import pandas as pd
import polars as pl

BANDS = ["red", "green"]
bytes_ = {"red": np.array([200, 100], np.uint8), "green": np.array([100, 50], np.uint8)}
tiles = pl.DataFrame(bytes_)
words = pl.DataFrame({"red": [40_000], "green": [30_000]}, schema=dict.fromkeys(BANDS, pl.UInt16))


def values(frame, expression):
    column = frame.select(expression.alias("value"))["value"]
    return str(column.dtype), column.to_list()


found = {
    "sum_horizontal": values(tiles, pl.sum_horizontal(BANDS)),
    "mean_horizontal": values(tiles, pl.mean_horizontal(BANDS)),
    "mean_horizontal of UInt16": values(words, pl.mean_horizontal(BANDS)),
    "dot": values(tiles, pl.col("red").dot("green")),
    "sum": values(tiles, pl.col("red").sum()),
    "cum_sum": values(tiles, pl.col("red").cum_sum()),
    "rolling_sum": values(tiles, pl.col("red").rolling_sum(2)),
    "list.mean": values(tiles, pl.concat_list(BANDS).list.mean()),
}
print("polars", pl.__version__, "pandas", pd.__version__)
for name, value in found.items():
    print(f"  {name}:", *value)
means = pd.DataFrame(bytes_).mean(axis=1).tolist()
print("  mean in pandas:", means)
as_recorded = (
    found["sum_horizontal"] == ("UInt8", [44, 150])
    and found["mean_horizontal"] == ("Float64", [22, 75])
    and found["mean_horizontal of UInt16"] == ("Float64", [2_232])
    and set(found["dot"][1]) == {168}
    and found["sum"] == ("Int64", [300])
    and found["cum_sum"] == ("Int64", [200, 300])
    and found["rolling_sum"] == ("Int64", [None, 300])
    and found["list.mean"][1] == means == [150, 75]
)
sys.exit(0 if as_recorded else 1)
PYTHON
