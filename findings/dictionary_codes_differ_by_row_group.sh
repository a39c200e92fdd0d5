#!/usr/bin/env bash
# A column of labels that pyarrow reads as a dictionary numbers its classes in each row group differently.
#
# Expected: one column has one dictionary, so a code stands for one class in all rows.
# Observed (pyarrow 25.0.1): `read_dictionary=["label"]` gives a chunk per row group, each with a dictionary of its own,
# in order of appearance. The code of River is 1 in the first row group and 0 in the second. `combine_chunks` or
# `unify_dictionaries` gives one dictionary.
# Why it matters: the codes look like class numbers that are ready for training, and are right in a test with one row
# group. Tables of millions of tiles have several: from row 1,048,576 on, classes are exchanged without a message.
# Source: Apache Arrow's documentation of `read_table`, argument `read_dictionary`, and of
# `ChunkedArray.unify_dictionaries`.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==25.0.1 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import pyarrow as pa
import pyarrow.parquet as pq

with pq.ParquetWriter("tiles.parquet", pa.schema([("label", pa.string())])) as writer:
    for labels in (["Forest", "River"], ["River", "Sea"]):
        writer.write_table(pa.table({"label": labels}))
column = pq.read_table("tiles.parquet", read_dictionary=["label"])["label"]
codes = [code for chunk in column.chunks for code in chunk.indices.to_pylist()]
unified = [code for chunk in column.unify_dictionaries().chunks for code in chunk.indices.to_pylist()]
print("pyarrow", pa.__version__)
print("labels:                 ", column.to_pylist())
print("codes as read:          ", codes)
print("after unify_dictionaries:", unified)
raise SystemExit(0 if codes == [0, 1, 0, 1] and unified == [0, 1, 1, 2] else 1)
PYTHON
