"""The label map: the index of each class in the model's output, and the recoding of the source's labels.

`label_map.json` is for people and for tools outside tilepipe:

    {
      "version": 1,
      "name": "eurosat",
      "classes": [{"index": 0, "name": "Forest", "tiles": {"train": 70, "val": 15, "test": 15}}, ...],
      "recode": {"Sea": "Water", "Lake": "Water", "Cloud": null},
      "dropped": [{"label": "Cloud", "tiles": 12}, ...]
    }

`classes` are in the order of the indexes, without gaps. `recode` is as given, and lists the classes with too few tiles
(`min_per_class`): label -> class, null for a label whose tiles were dropped; a label that is not in it is its own
class. `dropped` lists the labels without a class.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tilepipe.components.ingest.report.facts import IngestReport
from tilepipe.components.shared.contracts.manifest import SPLITS
from tilepipe.components.shared.storage.atomic import write_whole

_INTEGER = re.compile(r"[+-]?[0-9]{1,30}")


def sorted_labels(labels: Iterable[str]) -> list[str]:
    """Sort labels, each given once: as numbers if all are integers, so that 2 comes before 10, else as text.

    An empty label is not compared as a number and comes first.
    """
    labels = list(labels)
    if all(_INTEGER.fullmatch(label) for label in labels if label):
        return sorted(labels, key=lambda label: (label != "", int(label or 0), label))
    return sorted(labels)


def label_map(report: IngestReport) -> dict[str, Any]:
    """Build the label map of a tile table, as the docstring of the module describes it."""
    recode, dropped = report.selection.recode, report.selection.dropped_labels
    return {
        "version": 1,
        "name": report.info.name,
        "classes": [
            {
                "index": index,
                "name": name,
                "tiles": {split: report.splits[split].tiles_per_class.get(name, 0) for split in SPLITS},
            }
            for index, name in enumerate(report.info.class_names)
        ],
        "recode": {label: recode[label] or None for label in sorted_labels(recode)},
        "dropped": [{"label": label, "tiles": dropped[label]} for label in sorted_labels(dropped)],
    }


def write_label_map(report: IngestReport, path: Path) -> None:
    """Write the label map atomically; the same report gives the same bytes."""
    write_whole(path, json.dumps(label_map(report), indent=2, ensure_ascii=False) + "\n")
