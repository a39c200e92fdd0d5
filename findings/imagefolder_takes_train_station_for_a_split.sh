#!/usr/bin/env bash
# A class folder `train_station` makes Hugging Face's `imagefolder` drop all other classes, and all labels.
#
# Expected: three folders with images are three classes.
# Observed (datasets 5.2.0): a folder whose name holds train, test, validation, valid, dev or eval as a word is a split.
# Then images in folders that are no split are left out, and the label is dropped since one class is left. With `forest`,
# `sea` and `train_station`, 3 of 9 images come back as the split train, without the column `label`. No warning.
# Why it matters: scene classification has train stations and test sites, and land cover has evaluation plots. With a
# data set of one's own, nobody counts what was loaded. `drop_labels=False` does not bring the images back.
# Source: Hugging Face's documentation, "Structure your repository", splits by directory and file names.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check datasets==5.2.0 Pillow==13.0.0 numpy==2.3.5 pandas==2.3.3 pyarrow==25.0.1 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import os
import pathlib
import sys

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HOME": str(pathlib.Path("cache").absolute())}
import datasets
from PIL import Image

datasets.disable_progress_bars()


def loaded(*classes, **options):
    root = pathlib.Path("-".join([*classes, *options]))
    for name in classes:
        (root / name).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (8, 8), (number, 0, 0)).save(root / name / f"{number}.png")
    splits = datasets.load_dataset("imagefolder", data_dir=str(root), **options)
    return {split: (len(rows), getattr(rows.features.get("label"), "names", None)) for split, rows in splits.items()}


seen = {"station": loaded("forest", "sea", "station"), "train_station": loaded("forest", "sea", "train_station"),
        "test-site": loaded("forest", "sea", "test-site"),
        "train_station, drop_labels=False": loaded("forest", "sea", "train_station", drop_labels=False)}
print("datasets", datasets.__version__, "- 3 images in each of the folders forest, sea and")
for third, splits in seen.items():
    for split, (images, names) in splits.items():
        print(f"  {third}: split {split} with {images} images of the classes {names}")
sys.exit(0 if seen["station"] == {"train": (9, ["forest", "sea", "station"])}
         and seen["train_station"] == {"train": (3, None)} and seen["test-site"] == {"test": (3, None)}
         and seen["train_station, drop_labels=False"]["train"][0] == 3 else 1)
PYTHON
