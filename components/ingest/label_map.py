"""The label map: which number a class has in the model's answers, and what became of the source's labels.

`label_map.json`, for people and for tools that know nothing of tilepipe:

    {
      "version": 1,
      "name": "eurosat",
      "classes": [{"index": 0, "name": "Forest", "tiles": {"train": 70, "val": 15, "test": 15}}, ...],
      "recode": {"Sea": "Water", "Lake": "Water", "Cloud": null},
      "dropped": [{"label": "Cloud", "tiles": 12}, ...]
    }

`classes` are in the order of the indexes, without gaps. `recode` is as given: label -> class, null for a label whose
tiles were dropped; a label that it lacks is its own class. `dropped` are the labels that became no class.
"""

import json
from pathlib import Path
from typing import Any

from tilepipe.components.ingest.report.facts import IngestReport
from tilepipe.components.shared.contracts.manifest import SPLITS
from tilepipe.components.shared.storage.atomic import whole_file


def label_map(report: IngestReport) -> dict[str, Any]:
    """Say which class has which index.

    Args:
        report: of the tile table.

    Returns:
        What the file holds, as the module says.
    """
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
        "recode": {label: recode[label] or None for label in sorted(recode)},
        "dropped": [{"label": label, "tiles": count} for label, count in sorted(dropped.items())],
    }


def write_label_map(report: IngestReport, path: Path) -> None:
    """Write the label map, whole or not at all; the same report gives the same bytes."""
    with whole_file(path) as partial:
        partial.write_text(json.dumps(label_map(report), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
