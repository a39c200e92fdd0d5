"""Parameters of the `snapshot` step."""

from pydantic import Field

from tilepipe.components.shared.contracts.snapshots import Snapshot
from tilepipe.components.shared.runtime.config import StepConfig


class SnapshotConfig(StepConfig):
    """Time as of which a run reads its source."""

    snapshot: Snapshot = Field(
        default="",
        description="ISO 8601 time as of which the source is read; set another to read a changed source again. "
        "Default: none, or in a recurring run the time at which it was triggered",
    )
