#!/usr/bin/env bash
# The most similar tile by the cosine similarity of DuckDB is the one whose embedding is zero.
#
# Expected: the cosine of a zero vector is undefined, hence NULL, which comes last in a descending order and fails each
# condition; or 0, as in scikit-learn.
# Observed (DuckDB 2.0.1): it is NaN, and DuckDB orders NaN above all numbers. `ORDER BY array_cosine_similarity(...) DESC
# LIMIT 1`, `max_by` and `WHERE ... > 0.99` all give the zero vector, above one that equals the vector that is searched
# for, and `max` of the similarity is NaN. By `array_cosine_distance ... ASC`, which should be the same order, the zero
# vector comes last, so both ways of writing one search differ. `list_cosine_similarity` does the same.
# Why it matters: embeddings of tiles without data, or after a ReLU, are zero. A search for similar tiles, and the removal
# of near duplicates by a threshold, then pick the empty tiles, and a label is passed on to them.
# Source: https://duckdb.org/docs/current/sql/functions/array (array_cosine_similarity).
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.1 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import math
import sys

import duckdb

print("DuckDB", duckdb.__version__)
connection = duckdb.connect()
connection.execute("CREATE TABLE tiles (tile TEXT, embedding FLOAT[3])")
connection.execute(
    "INSERT INTO tiles VALUES ('same', [1, 0, 0]), ('near', [0.9, 0.1, 0]), ('other', [0, 1, 0]), "
    "('empty', [0, 0, 0]), ('none', NULL)"
)
similarity = "array_cosine_similarity(embedding, [1, 0, 0]::FLOAT[3])"
distance = "array_cosine_distance(embedding, [1, 0, 0]::FLOAT[3])"
queries = {
    "most similar first": f"SELECT tile FROM tiles ORDER BY {similarity} DESC",
    "nearest first": f"SELECT tile FROM tiles ORDER BY {distance}",
    "max_by": f"SELECT max_by(tile, {similarity}) FROM tiles",
    "above 0.99": f"SELECT tile FROM tiles WHERE {similarity} > 0.99 ORDER BY tile",
}
found = {}
for name, query in queries.items():
    found[name] = [row[0] for row in connection.execute(query).fetchall()]
    print(f"  {name}: {found[name]}")
largest, of_lists = connection.execute(
    f"SELECT max({similarity}), list_cosine_similarity([0.0, 0.0], [1.0, 0.0]) FROM tiles"
).fetchone()
print("  largest similarity:", largest, "similarity of lists with a zero vector:", of_lists)
as_recorded = (
    found["most similar first"] == ["empty", "same", "near", "other", "none"]
    and found["nearest first"] == ["same", "near", "other", "empty", "none"]
    and found["max_by"] == ["empty"]
    and found["above 0.99"] == ["empty", "near", "same"]
    and math.isnan(largest)
    and math.isnan(of_lists)
)
sys.exit(0 if as_recorded else 1)
PYTHON
