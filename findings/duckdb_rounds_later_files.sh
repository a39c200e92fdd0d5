#!/usr/bin/env bash
# Of several Parquet files, DuckDB casts the later ones to the types of the first: a cloud cover of 0.4 becomes 0.
#
# Expected: a column that is BIGINT in one file and DOUBLE in another is DOUBLE for both, or the read fails.
# Observed (DuckDB 2.0.0): without `union_by_name` the first file decides, also by the order of a glob. Cloud covers of
# later files are rounded without a message, a condition selects by the rounded values, and texts such as '007' become
# numbers. With the files in the other order nothing is lost. With `union_by_name=true` the types are widened.
# Why it matters: the tables of a collection are written month by month, and pandas or JSON give a column of whole
# percentages the type int64 where no value happens to have a fraction. A search for tiles with less than 0.5 % of
# clouds then depends on which month comes first.
# Source: DuckDB's documentation, "Combining schemas": the schema is taken from the first file.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.0 pyarrow==25.0.1 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

january = pa.table({"tile": ["a", "b"], "cloud_cover": [10, 20], "site": [7, 8]})
february = pa.table({"tile": ["c", "d"], "cloud_cover": [7.6, 0.4], "site": ["009", "010"]})
pq.write_table(january, "01.parquet")
pq.write_table(february, "02.parquet")


def rows(files, options=""):
    return duckdb.sql(f"SELECT * FROM read_parquet({files}{options}) ORDER BY tile").fetchall()[2:]


in_order = rows("'*.parquet'")
reversed_order = rows("['02.parquet', '01.parquet']")
by_name = rows("'*.parquet'", ", union_by_name=true")
clear = duckdb.sql("SELECT tile FROM read_parquet('*.parquet') WHERE cloud_cover < 0.1").fetchall()
print("duckdb", duckdb.__version__, "pyarrow", pa.__version__)
print("february:                 ", february.to_pylist())
print("read after january:       ", in_order)
print("read before january:      ", reversed_order)
print("union_by_name:            ", by_name)
print("cloud_cover < 0.1 selects:", clear)
as_recorded = in_order == [("c", 8, 9), ("d", 0, 10)] and clear == [("d",)]
raise SystemExit(0 if as_recorded and by_name == reversed_order == [("c", 7.6, "009"), ("d", 0.4, "010")] else 1)
PYTHON
