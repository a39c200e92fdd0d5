#!/usr/bin/env bash
# A CQL2 filter that leaves out scenes by their time leaves out none of them in cql2, and all of them in DuckDB.
#
# Expected: `datetime IN (TIMESTAMP('t'))` means `datetime = TIMESTAMP('t')`, and the same items whether cql2 decides itself
# or writes the SQL for it.
# Observed (cql2 0.6.0, DuckDB 2.0.1): `Expr.matches` of a STAC item compares times with =, <> and <, in any time zone, but
# IN of a list of times is false for every item and NOT IN is true for every item, also for dates. `validate` accepts the
# expression, and the SQL that `to_sql` makes of it selects the right items in DuckDB. BETWEEN of two times, which
# CQL2 defines for numbers only, is parsed, false for every item, and right in DuckDB; only `validate` rejects it. Lists of
# numbers and of text are right.
# Why it matters: a list of times is how scenes with clouds or of a test year are left out by hand. With NOT IN they stay in
# the training data without an error, and the same filter has worked in the database.
# Source: https://docs.ogc.org/is/21-065r2/21-065r2.html (In predicate: scalar expressions, temporal instants included).
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check cql2==0.6.0 duckdb==2.0.1 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version

import cql2
import duckdb

items = [
    {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": f"scene-{month}",
        "geometry": {"type": "Point", "coordinates": [15, 50]},
        "bbox": [15, 50, 15, 50],
        "links": [],
        "assets": {},
        "properties": {"datetime": f"2024-{month:02}-15T10:00:00Z", "month": month, "day": f"2024-{month:02}-15"},
    }
    for month in range(1, 13)
]
database = duckdb.connect()
database.execute("SET TimeZone = 'UTC'")
database.execute("CREATE TABLE items (datetime TIMESTAMPTZ, month INTEGER, day DATE)")
database.executemany("INSERT INTO items VALUES ($datetime, $month, $day)", [item["properties"] for item in items])
MARCH, MAY = "TIMESTAMP('2024-03-15T10:00:00Z')", "TIMESTAMP('2024-05-15T10:00:00Z')"


def selected(text):
    """Return the number of items by cql2 and by DuckDB, and whether the expression is valid."""
    expression = cql2.parse_text(text)
    try:
        expression.validate()
        valid = True
    except Exception:
        valid = False
    sql = expression.to_sql()
    rows = database.execute(f"SELECT count(*) FROM items WHERE {sql}").fetchall()[0][0]
    matching = sum(expression.matches(item) for item in items)
    print(f"  {text}: cql2 {matching}, DuckDB {rows}, valid {valid}")
    return matching, rows, valid


print("cql2", version("cql2"), "DuckDB", duckdb.__version__)
found = {
    text: selected(text)
    for text in (
        f"datetime = {MARCH} OR datetime = {MAY}",
        f"datetime <> {MARCH} AND datetime <> {MAY}",
        "month NOT IN (3, 5)",
        f"datetime IN ({MARCH}, {MAY})",
        f"datetime NOT IN ({MARCH}, {MAY})",
        "day <> DATE('2024-03-15') AND day <> DATE('2024-05-15')",
        "day NOT IN (DATE('2024-03-15'), DATE('2024-05-15'))",
        f"datetime >= {MARCH} AND datetime <= {MAY}",
        f"datetime BETWEEN {MARCH} AND {MAY}",
    )
}
as_recorded = list(found.values()) == [
    (2, 2, True),
    (10, 10, True),
    (10, 10, True),
    (0, 2, True),
    (12, 10, True),
    (10, 10, True),
    (12, 10, True),
    (3, 3, True),
    (0, 3, False),
]
sys.exit(0 if as_recorded else 1)
PYTHON
