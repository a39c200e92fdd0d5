"""Parameters of the `snapshot` step."""

from pydantic import Field

from tilepipe.components.shared.contracts.snapshots import Snapshot
from tilepipe.components.shared.runtime.config import StepConfig


class SnapshotConfig(StepConfig):
    """Which moment of the source a run reads."""

    snapshot: Snapshot = Field(default="", description="ISO 8601 time, or empty for none")
