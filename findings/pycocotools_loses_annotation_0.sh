#!/usr/bin/env bash
# pycocotools counts a perfectly detected object as missed if its annotation has the id 0.
#
# Expected: ids only tell annotations apart, so detections that equal the labels have an average precision of 1.0 whether
# the ids start at 0 or at 1.
# Observed (pycocotools 2.0.11, numpy 2.4.6): `COCOeval` notes the id of the matched annotation for each detection, and 0
# for no match, so the detection of annotation 0 counts as a false alarm and the object as missed. Of 20 tiles with two
# frequent classes and one object of a rare class, labels given as detections have an AP of 1.0 with ids from 1. With ids
# from 0 it is 0.67 if the rare object comes first, whose class has an AP and a recall of 0. Masks are counted alike.
# `createIndex` and `loadRes` accept the id, and nothing warns. Ids of tiles and categories may be 0.
# Why it matters: labels exported from a table take its row numbers, which start at 0, as ids. A rare species or crop is
# then judged as undetected, and which class pays depends on the order of the rows.
# Source: https://github.com/cocodataset/cocoapi/blob/master/PythonAPI/pycocotools/cocoeval.py (dtMatches, dtm, tps).
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pycocotools==2.0.11 numpy==2.4.6 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import contextlib
import importlib.metadata
import io
import sys
import warnings

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def evaluate(first: int, kind: str) -> tuple[float, float, list[float]]:
    """Return AP, recall and the AP per class of detections that equal the labels, with annotation ids from `first` on."""
    objects = [(0, 2)] + [(tile, kind_of) for tile in range(20) for kind_of in (0, 1)]
    labels, detections = [], []
    for row, (tile, category) in enumerate(objects):
        box = [20 * category, 4, 10, 10]
        left, top, width, height = box
        outline = [[left, top, left + width, top, left + width, top + height, left, top + height]]
        one = {"image_id": tile, "category_id": category, "bbox": box, "segmentation": outline}
        labels.append({**one, "id": first + row, "area": 100, "iscrowd": 0})
        found = {"image_id": tile, "category_id": category, "score": 0.9}
        detections.append({**found, **({"bbox": box} if kind == "bbox" else {"segmentation": outline})})
    truth = COCO()
    truth.dataset = {
        "info": {},
        "images": [{"id": tile, "width": 64, "height": 64} for tile in range(20)],
        "categories": [{"id": category, "name": str(category)} for category in range(3)],
        "annotations": labels,
    }
    truth.createIndex()
    if kind == "segm":
        for one in detections:
            one["segmentation"] = truth.annToRLE(one)
    evaluation = COCOeval(truth, truth.loadRes(detections), kind)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    per_class = evaluation.eval["precision"][:, :, :, 0, 2].mean(axis=(0, 1))
    return round(float(evaluation.stats[0]), 3), round(float(evaluation.stats[8]), 3), per_class.round(3).tolist()


print("pycocotools", importlib.metadata.version("pycocotools"))
results = {}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for kind in ("bbox", "segm"):
        for first in (1, 0):
            said = io.StringIO()
            with contextlib.redirect_stdout(said):
                results[kind, first] = evaluate(first, kind)
            print(f"  {kind}, ids from {first}: AP, recall and AP per class {results[kind, first]}")
own = [one for one in caught if not issubclass(one.category, DeprecationWarning | PendingDeprecationWarning)]
print("  warnings:", [str(one.message) for one in own])
perfect, lost = (1.0, 1.0, [1.0, 1.0, 1.0]), (0.667, 0.667, [1.0, 1.0, 0.0])
as_recorded = all(results[kind, first] == (perfect if first else lost) for kind, first in results) and not own
sys.exit(0 if as_recorded else 1)
PYTHON
