#!/usr/bin/env bash
# A share of 4 % that pandas averages from a file by DuckDB is 0.0: literals of DuckDB are decimals, and so is the mean.
#
# Expected: the mean of a column of 1.0 and 0.0 is a floating-point number, whoever wrote and whoever reads the file.
# Observed (DuckDB 2.0.1, pyarrow 26.0.1, pandas 3.1.1, polars 2.1.0): `CASE WHEN ... THEN 1.0 ELSE 0.0 END` is DECIMAL(2, 1)
# in DuckDB and in its Parquet file. The mean of such a column has one decimal place too in pyarrow, and in pandas
# with dtype_backend="pyarrow", in all and by group: 4 % is 0.0 and 6 % is 0.1. DuckDB, polars, and pandas with its
# default types give 0.04 and 0.06, and pandas' standard deviation is a float. Nothing warns. Written with 1e0 and
# 0e0, the column is double and the means are right.
# Why it matters: the share of a rare class, an accuracy and a cloud fraction are means of 0 and 1. A backend that is chosen
# for its speed or for its missing values rounds them to tenths, and rare classes vanish from a report.
# Source: https://arrow.apache.org/docs/cpp/compute.html (aggregations: for decimals, the mean has the type of the input).
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.1 pyarrow==26.0.1 pandas==3.1.1 \
  polars==2.1.0 numpy==2.4.6 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

FILE = "tiles.parquet"


def shares(one, zero):
    """Write 1,000 tiles, of which 4 % of one split and 6 % of the other are water, and return the type and the shares."""
    duckdb.execute(
        f"COPY (SELECT CASE WHEN range < 500 THEN 'test' ELSE 'train' END AS split, CASE WHEN range < 20 OR "
        f"range >= 970 THEN {one} ELSE {zero} END AS water FROM range(1000)) TO '{FILE}' (FORMAT parquet)"
    )
    table = pq.read_table(FILE)
    frames = {"pandas": pd.read_parquet(FILE), "pandas, pyarrow": pd.read_parquet(FILE, dtype_backend="pyarrow")}
    query = f"SELECT avg(water) FROM '{FILE}' GROUP BY split ORDER BY split"
    found = {
        "DuckDB": [row[0] for row in duckdb.execute(query).fetchall()],
        "polars": pl.read_parquet(FILE).group_by("split").agg(pl.col("water").mean()).sort("split")["water"].to_list(),
        "pyarrow": table.group_by("split").aggregate([("water", "mean")]).sort_by("split")["water_mean"].to_pylist(),
    }
    for name, frame in frames.items():
        found[name] = frame.groupby("split")["water"].mean().sort_index().to_list()
    found["pyarrow, all"] = [pc.mean(table["water"]).as_py()]
    found["pandas, pyarrow, all"] = [frames["pandas, pyarrow"]["water"].mean()]
    found["pandas, pyarrow, as float64"] = [frames["pandas, pyarrow"]["water"].astype("float64").mean()]
    found["pandas, pyarrow, deviation"] = [frames["pandas, pyarrow"]["water"].std()]
    found = {name: [round(float(value), 4) for value in values] for name, values in found.items()}
    print(f"  {one}: {table.schema.field('water').type}")
    for name, values in found.items():
        print(f"    {name}: {values}")
    return str(table.schema.field("water").type), found


print("DuckDB", duckdb.__version__, "pyarrow", pa.__version__, "pandas", pd.__version__, "polars", pl.__version__)
kind, decimals = shares("1.0", "0.0")
double, floats = shares("1e0", "0e0")
deviation = decimals.pop("pandas, pyarrow, deviation")
rounded = {"pyarrow", "pandas, pyarrow"}
everything = {"pyarrow, all", "pandas, pyarrow, all"}
as_recorded = (
    kind == "decimal128(2, 1)"
    and double == "double"
    and deviation == floats.pop("pandas, pyarrow, deviation") == [0.2181]
    and all(decimals[name] == [0.0, 0.1] for name in rounded)
    and all(decimals[name] == [0.1] for name in everything)
    and all(decimals[name] == floats[name] for name in set(decimals) - rounded - everything)
    and all(values in ([0.04, 0.06], [0.05]) for values in floats.values())
)
sys.exit(0 if as_recorded else 1)
PYTHON
