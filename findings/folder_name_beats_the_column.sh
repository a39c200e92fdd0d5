#!/usr/bin/env bash
# A folder called `split=train` somewhere in a path replaces the column `split` of the Parquet file in it.
#
# Expected: what the file says of itself; or an error where path and file disagree, as pyarrow's read_table gives.
# Observed (DuckDB 2.0.0, pyarrow 25.0.1): a path part NAME=VALUE is a column, without being asked for, also of a single file
# and outside of a partitioned data set. It replaces the file's own column of that name in DuckDB; in pyarrow's datasets
# (`partitioning="hive"`) too. `hive_partitioning=false` reads the file.
# Why it matters: outputs of experiments are in folders such as `lr=0.1` or `split=train`. A table of tiles copied there has
# other splits or labels than where it was written.
# Source: DuckDB's page on Hive partitioning.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.0 pyarrow==25.0.1 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import pathlib
import sys

import duckdb
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq

path = pathlib.Path("runs/split=train/tiles.parquet")
path.parent.mkdir(parents=True)
pq.write_table(pa.table({"tile": [1, 2, 3], "split": ["train", "val", "test"]}), path)


def by_read_table():
    try:
        return [str(value) for value in pq.read_table(path.parent.parent).column("split").to_pylist()]
    except pa.ArrowTypeError:
        return ["error"]


def by_duckdb(options=""):
    return [str(split) for split, in duckdb.sql(f"SELECT split FROM read_parquet('{path}'{options})").fetchall()]


dataset = pyarrow.dataset.dataset("runs", partitioning="hive").to_table()
seen = {"DuckDB": by_duckdb(), "DuckDB, hive_partitioning=false": by_duckdb(", hive_partitioning=false"),
        "pyarrow.dataset": [str(value) for value in dataset.column("split").to_pylist()],
        "pyarrow.parquet.read_table": by_read_table()}
print("duckdb", duckdb.__version__, "pyarrow", pa.__version__, "- splits train, val, test, read from", path)
for reader, splits in seen.items():
    print(f"  {reader}:", *splits)
own = ["train", "val", "test"]
sys.exit(0 if seen == {"DuckDB": ["train"] * 3, "DuckDB, hive_partitioning=false": own, "pyarrow.dataset": ["train"] * 3,
                       "pyarrow.parquet.read_table": ["error"]} else 1)
PYTHON
