"""Facts about an exported model, from the artifacts of the steps before."""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import numpy as np

from tilepipe.components.export.formats import Formats
from tilepipe.components.export.parity import Parity
from tilepipe.components.shared.contracts.geometry_column import CORNERS
from tilepipe.components.shared.contracts.history import History, read_history
from tilepipe.components.shared.contracts.manifest import Manifest
from tilepipe.components.shared.errors import ArtifactError
from tilepipe.components.shared.figures import PER_CLASS, classification_figures

_WEAKEST_CLASSES = 5


@dataclass(frozen=True)
class Extent:
    """Location and time of the tiles, as far as the tile table states them."""

    bbox: tuple[float, float, float, float] | None
    """West, south, east, north in degrees."""
    start: datetime | None
    end: datetime | None

    @classmethod
    def of(cls, tiles: Path) -> Self:
        """Read the extent of a tile table, in constant memory.

        Raises:
            ArtifactError: The file is not a tile table.
        """
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        ends: dict[str, list[Any]] = {name: [] for name in (*CORNERS, "datetime")}  # of each batch
        try:
            for batch in pq.ParquetFile(tiles).iter_batches(columns=["bbox", "datetime"]):
                columns: dict[str, Any] = {name: pc.struct_field(batch["bbox"], name) for name in CORNERS}
                for name, column in {**columns, "datetime": batch["datetime"]}.items():
                    found: Any = pc.min_max(column).as_py()
                    ends[name] += (end for end in found.values() if end is not None)
        except (pa.ArrowException, OSError, KeyError) as error:
            raise ArtifactError(
                f"`tiles` must be the tile table of `ingest`. Received: {tiles.name}, which reads as: {error}."
            ) from error
        *corners, times = ends.values()
        west, south, east, north = corners
        bbox = (min(west), min(south), max(east), max(north)) if all(corners) else None
        return cls(bbox, min(times, default=None), max(times, default=None))


@dataclass(frozen=True)
class Description:
    """Facts about an exported model."""

    name: str
    created: datetime
    manifest: Manifest
    history: History
    metrics: dict[str, float]
    """Figures of `evaluate`, by split and name: `test_accuracy`."""
    split: str
    """Split that the confusion matrix counts."""
    confusion: np.ndarray[Any, np.dtype[np.int64]]
    """Tiles by true class (row) and predicted class (column), `(classes, classes)`."""
    intervals: dict[str, tuple[float, float]]
    """95 % intervals of figures of `split`, by name without the split; those that were not computed are absent."""
    extent: Extent
    parity: Parity
    formats: Formats
    network: str
    parameters: int
    versions: dict[str, str]
    """Package -> version."""

    def classification_report(self) -> dict[str, Any]:
        """Figures of the confusion matrix, per class and as means; undefined ones are left out."""
        figures = classification_figures(self.confusion)
        classes = {
            name: {"tiles": int(figures.support[index])}
            | {key: float(getattr(figures, key)[index]) for key in PER_CLASS if figures.support[index]}
            for index, name in enumerate(self.manifest.class_names)
        }
        intervals = {name: list(interval) for name, interval in self.intervals.items()}
        return {"split": self.split, "classes": classes, **figures.overall, "intervals": intervals}

    def weakest_classes(self) -> list[tuple[str, float, int]]:
        """Return name, F1 and tiles of the five classes with the lowest F1, among those that have tiles."""
        report = self.classification_report()["classes"]
        measured = [(name, values["f1"], values["tiles"]) for name, values in report.items() if "f1" in values]
        return sorted(measured, key=lambda entry: (entry[1], entry[0]))[:_WEAKEST_CLASSES]


def read_evaluation(metrics: Path, confusion: Path, history: Path, manifest: Manifest) -> dict[str, Any]:
    """Read the artifacts of `train` and `evaluate` that describe a model.

    Returns:
        The fields of `Description` that come from these files.

    Raises:
        ArtifactError: A file is damaged, or has other classes than the manifest.
    """
    try:
        figures = {str(name): float(value) for name, value in json.loads(metrics.read_text(encoding="utf-8")).items()}
        matrix = json.loads(confusion.read_text(encoding="utf-8"))
        split, names, rows = str(matrix["split"]), matrix["class_names"], np.asarray(matrix["rows"], np.int64)
        intervals = {str(name): (float(low), float(high)) for name, (low, high) in matrix.get("intervals", {}).items()}
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise ArtifactError(
            "`metrics` and `confusion` must be the JSON files of `evaluate`. "
            f"Received: {metrics.name} and {confusion.name}, which read as: {error!r}."
        ) from error
    if names != list(manifest.class_names) or rows.shape != (len(names), len(names)):
        raise ArtifactError(
            f"The evaluation must be of the manifest's classes {list(manifest.class_names)}. "
            f"Received: a confusion matrix of {names}. Give the outputs of one pipeline run."
        )
    return {
        "metrics": figures,
        "split": split,
        "confusion": rows,
        "intervals": intervals,
        "history": read_history(history),
    }
