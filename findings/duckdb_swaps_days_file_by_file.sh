#!/usr/bin/env bash
# With union_by_name, DuckDB swaps day and month in some CSV files of a table: each file's dates have a format of their own.
#
# Expected: the files of one read_csv have one date format, or a file that does not show its format is not guessed.
# Observed (DuckDB 2.0.0): of twelve monthly files with dates such as 03/21/2024, those in which a day after the 12th shows
# the format are read right. The file of March, acquired on 03/04 and 03/11, has no such day, and is read as 3 April and
# 3 November, without an error or a text column. Without union_by_name the same files are right, as the first file's format
# holds for all; and if the ambiguous file comes first, an error says so. `union_by_name=true`, which is there to match
# columns, changes dates. `dateformat` keeps them.
# Why it matters: union_by_name is what makes tables in parts safe whose columns differ (duckdb_rounds_later_files). Tiles
# of an orbit that passes early in the month move to other months and, in a split by time, from training to test.
# Source: https://duckdb.org/docs/stable/data/multiple_files/combining_schemas and data/csv/auto_detection.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.0 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from pathlib import Path

import duckdb

days = {month: (5, 14, 21, 28) for month in range(1, 13)} | {3: (4, 11)}
for month, passes in days.items():
    rows = [f"tile_{month}_{day},{month:02}/{day:02}/2024" for day in passes]
    Path(f"{month:02}.csv").write_text("\n".join(["id,acquired", *rows, ""]))
files = [f"{month:02}.csv" for month in days]
march_first = ["03.csv", *(name for name in files if name != "03.csv")]


def wrong(names, options):
    """Return the type of the column, and the tiles whose date has another month than their name."""
    scan = f"read_csv({names}{options})"
    try:
        rows = duckdb.sql(f"SELECT id, acquired FROM {scan}").fetchall()
    except duckdb.Error as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0]}", []
    kind = str(duckdb.sql(f"FROM {scan}").types[1])
    return kind, [f"{name} = {date}" for name, date in rows if date.month != int(name.split("_")[1])]


found = {
    "default": wrong(files, ""),
    "default, March first": wrong(march_first, ""),
    "union_by_name": wrong(files, ", union_by_name=true"),
    "union_by_name, March first": wrong(march_first, ", union_by_name=true"),
    "union_by_name, dateformat": wrong(files, ", union_by_name=true, dateformat='%m/%d/%Y'"),
}
print("duckdb", duckdb.__version__)
for way, (kind, moved) in found.items():
    print(f"  {way}: {kind}; in another month: {moved}")
swapped = ["tile_3_4 = 2024-04-03", "tile_3_11 = 2024-11-03"]
as_recorded = (
    found["default"] == found["union_by_name, dateformat"] == ("DATE", [])
    and found["default, March first"][0].startswith("ConversionException")
    and found["union_by_name"] == found["union_by_name, March first"] == ("DATE", swapped)
)
sys.exit(0 if as_recorded else 1)
PYTHON
