#!/usr/bin/env bash
# Classes 0 to 11 get other numbers when they are declared as classes: 2 becomes 4, and 10 becomes 2.
#
# Expected: class_encode_column of a column that holds 0 to 11 keeps the numbers, and gives them names.
# Observed (datasets 5.2.0): it writes the numbers as text and sorts the text, so "10" and "11" come before "2": ten of
# twelve classes get another number. With up to ten classes nothing changes, so the ten of EuroSAT are right. In a
# DatasetDict each split is numbered by itself: if the test split lacks class 1, its 2 becomes 3, and the 2 of the train
# split 4. Nothing warns. cast_column with ClassLabel(num_classes=12) keeps the numbers.
# Why it matters: train_test_split(stratify_by_column=...) takes only such a column. The shares of the classes are the same
# afterwards, and a training is as good as before; its predictions are read by the original list of classes, or compared
# with labels that were not converted, and are wrong.
# Source: https://huggingface.co/docs/datasets/package_reference/main_classes#datasets.Dataset.class_encode_column.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check datasets==5.2.0 pyarrow==26.0.1 || exit 2
export HF_HOME="$folder/cache" HF_HUB_OFFLINE=1 HF_DATASETS_DISABLE_PROGRESS_BARS=1
"$folder/venv/bin/python" -W error::UserWarning - <<'PYTHON'
import sys

import datasets

Dataset = datasets.Dataset


def encoded(labels):
    return list(Dataset.from_dict({"label": labels}).class_encode_column("label")["label"])


ten, twelve = list(range(10)), list(range(12))
tiles = Dataset.from_dict({"label": twelve * 5})
try:
    tiles.train_test_split(0.2, stratify_by_column="label")
    asked = ""
except ValueError as error:
    asked = str(error)
splits = datasets.DatasetDict(
    train=Dataset.from_dict({"label": twelve}),
    test=Dataset.from_dict({"label": [label for label in twelve if label != 1]}),
).class_encode_column("label")
two = {
    name: [number for number in rows["label"] if rows.features["label"].int2str(number) == "2"][0]
    for name, rows in splits.items()
}
cast = list(tiles.cast_column("label", datasets.ClassLabel(num_classes=12))["label"])[:12]
found = encoded(twelve)
print("datasets", datasets.__version__)
print("  train_test_split:    ", asked)
print("  0 to 9 become        ", encoded(ten))
print("  0 to 11 become       ", found)
print("  2 becomes, by split: ", two)
print("  0 to 11 by cast:     ", cast)
as_recorded = (
    "ClassLabel" in asked
    and encoded(ten) == ten
    and found == [0, 1, 4, 5, 6, 7, 8, 9, 10, 11, 2, 3]
    and two["train"] == 4
    and two["test"] == 3
    and cast == twelve
)
sys.exit(0 if as_recorded else 1)
PYTHON
