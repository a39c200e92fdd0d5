"""The ingest step with its outputs in one folder, for tests."""

from pathlib import Path

from tilepipe.components.ingest.config import IngestConfig
from tilepipe.components.ingest.ingest import IngestOutputs, ingest


def ingest_into(folder: Path, **parameters):
    """Run ingest and return its result. The table is `tiles.parquet` in the folder."""
    names = ("tiles.parquet", "label_map.json", "report.html", "summary.md")
    return ingest(IngestConfig.parse(**parameters), IngestOutputs(*(folder / name for name in names)))
