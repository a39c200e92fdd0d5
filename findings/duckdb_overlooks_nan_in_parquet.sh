#!/usr/bin/env bash
# DuckDB cannot find NaN in a Parquet file that pyarrow wrote, and takes it for smaller than every threshold.
#
# Expected: the same condition selects the same rows of a Parquet file and of a table with its rows.
# Observed (DuckDB 2.0.0, pyarrow 25.0.1): the file's minimum and maximum leave NaN out, as the Parquet specification
# asks, and DuckDB decides conditions by them. `isnan(cloud)` is false of every row, and `cloud < 50` is true of a
# NaN where all numbers are below 50. After CREATE TABLE both are as documented: NaN is the largest value.
# Why it matters: clearing an archive of tiles whose cloud cover or reflectance is unknown selects none of them, and a
# filter for clear tiles takes them. Write null instead of NaN, or load the file into a table first.
# Source: the Parquet format's comments on statistics of floating point columns; DuckDB's page on NaN.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.0 pyarrow==25.0.1 numpy==2.3.5 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import duckdb
import numpy as np
import pyarrow
import pyarrow.parquet

clouds = pyarrow.table({"cloud": np.array([10.0, 40.0, np.nan])})
pyarrow.parquet.write_table(clouds, "tiles.parquet")
connection = duckdb.connect()
connection.execute("CREATE TABLE tiles AS FROM 'tiles.parquet'")
connection.execute("COPY tiles TO 'by_duckdb.parquet'")


def count(source, condition):
    return connection.execute(f"SELECT count(*) FROM {source} WHERE {condition}").fetchall()[0][0]


CONDITIONS = ("isnan(cloud)", "cloud < 50", "cloud >= 50")
sources = {"table": "tiles", "file by pyarrow": "'tiles.parquet'", "file by DuckDB": "'by_duckdb.parquet'"}
seen = {name: [count(source, condition) for condition in CONDITIONS] for name, source in sources.items()}
print("duckdb", duckdb.__version__, "pyarrow", pyarrow.__version__)
print("rows of [10, 40, NaN] by", ", ".join(CONDITIONS))
for name, counts in seen.items():
    print(f"  {name}:", *counts)
sys.exit(0 if seen == {"table": [1, 2, 1], "file by pyarrow": [0, 3, 0], "file by DuckDB": [1, 2, 1]} else 1)
PYTHON
