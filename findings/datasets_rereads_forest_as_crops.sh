#!/usr/bin/env bash
# Two Parquet files number their classes differently: load_dataset gives the numbers of both the names of the first.
#
# Expected: class names that are stored with a file decide what its numbers mean, or different names are an error, as in
# concatenate_datasets of the same two sets.
# Observed (datasets 5.2.0): to_parquet stores the names of a ClassLabel column in each file. load_dataset("parquet") of
# two files takes the names of the first and the numbers of both, without a message, streamed or not: after a file with
# crops, forest and water, one with forest, urban and water is read as crops, forest and water. In the other order, it is
# the former that changes. Read one by one, both are right, and concatenate_datasets then refuses them.
# Why it matters: regions and years are exported one by one, and class_encode_column numbers the classes that each one
# has. A class that one of them lacks shifts the numbers of the later classes, and the labels stay valid.
# Source: https://huggingface.co/docs/datasets/loading (Parquet).
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check datasets==5.2.0 pyarrow==26.0.1 || exit 2
export HF_HOME="$folder/cache" HF_HUB_OFFLINE=1 HF_DATASETS_DISABLE_PROGRESS_BARS=1
"$folder/venv/bin/python" - <<'PYTHON'
import logging
import sys
import warnings

import datasets

warnings.simplefilter("error", UserWarning)
messages = []
handler = logging.Handler(logging.WARNING)
handler.emit = lambda record: messages.append(record.getMessage())
datasets.logging.get_logger().addHandler(handler)

TRUTH = {"2025": ["crops", "forest", "water"], "2026": ["urban", "water", "forest"]}
for year, labels in TRUTH.items():
    table = datasets.Dataset.from_dict({"tile": [f"{year}-{number}" for number in range(3)], "label": labels})
    table.class_encode_column("label").to_parquet(f"{year}.parquet")


def names(years, streaming=False):
    files = [f"{year}.parquet" for year in years]
    rows = datasets.load_dataset("parquet", data_files=files, split="train", streaming=streaming)
    feature = rows.features["label"] if rows.features else None
    return [feature.int2str(row["label"]) for row in rows], rows


print("datasets", datasets.__version__)
alone = {year: names([year]) for year in TRUTH}
try:
    datasets.concatenate_datasets([rows for _, rows in alone.values()])
    refusal = None
except ValueError as error:
    refusal = str(error)[:60]
together, streamed, reverse = names(TRUTH)[0], names(TRUTH, True)[0], names(["2026", "2025"])[0]
print("  labels:                ", TRUTH)
print("  one by one:            ", {year: labels for year, (labels, _) in alone.items()})
print("  concatenate_datasets:  ", refusal)
print("  2025, 2026:            ", together)
print("  2025, 2026, streamed:  ", streamed)
print("  2026, 2025:            ", reverse)
print("  messages:", messages or "none")
as_recorded = (
    all(alone[year][0] == labels for year, labels in TRUTH.items())
    and refusal
    and together == streamed == [*TRUTH["2025"], "forest", "water", "crops"]
    and reverse == [*TRUTH["2026"], "forest", "urban", "water"]
    and not messages
)
sys.exit(0 if as_recorded else 1)
PYTHON
