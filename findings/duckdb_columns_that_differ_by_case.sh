#!/usr/bin/env bash
# DuckDB gives the column `Label` to whoever asks for `label` in a Parquet file that has both.
#
# Expected: quoted names are those of the file, so "label" is the column label; otherwise an error, as in ambiguous SQL.
# Observed (DuckDB 2.0.0): names do not depend on case, also quoted. The first column keeps its name, the second is called
# `label_1`, and a query for "label" gives the first. Fields of structs are renamed in the same way. pyarrow gives each.
# Why it matters: band names and labels of merged tables differ by case only: `B8a` and `B8A`, the annotator's `Label` and
# the cleaned `label`. A model learns the other column without an error.
# Source: DuckDB's page on keywords and identifiers; the Parquet format, whose names are case-sensitive.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.0 pyarrow==25.0.1 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

pq.write_table(pa.table({"Label": ["raw"], "label": ["cleaned"], "band": [{"B8a": 1, "B8A": 2}]}), "tiles.parquet")
by_pyarrow = pq.read_table("tiles.parquet", columns=["label"]).column("label").to_pylist()[0]
band_by_pyarrow = pq.read_table("tiles.parquet").column("band").to_pylist()[0]["B8A"]
label, band = duckdb.sql("""SELECT "label", band['B8A'] FROM 'tiles.parquet'""").fetchall()[0]
columns = duckdb.sql("FROM 'tiles.parquet'").columns
print("duckdb", duckdb.__version__, "pyarrow", pa.__version__)
print(f"  label: DuckDB {label}, pyarrow {by_pyarrow}; B8A: DuckDB {band}, pyarrow {band_by_pyarrow}")
print("  columns in DuckDB:", *columns)
sys.exit(0 if (label, band, by_pyarrow, band_by_pyarrow) == ("raw", 1, "cleaned", 2)
         and columns == ["Label", "label_1", "band"] else 1)
PYTHON
