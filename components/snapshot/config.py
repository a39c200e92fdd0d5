"""Parameters of the `snapshot` step."""

import re
from datetime import datetime

from pydantic import Field, field_validator

from tilepipe.components.shared.config import StepConfig

_MACRO = re.compile(r"\[\[.*\]\]")


class SnapshotConfig(StepConfig):
    """Which moment of the source a run reads."""

    snapshot: str = Field(default="", description="ISO 8601 time, or empty for none")

    @field_validator("snapshot")
    @classmethod
    def _is_a_time(cls, value: str) -> str:
        if _MACRO.search(value):
            raise ValueError(
                "`snapshot` must be a time, and KFP fills in `[[...]]` only in some runs, not in this one. Received: "
                f"snapshot={value!r}. Leave it empty: a recurring run then takes the time at which it fires."
            )
        if value:
            try:
                datetime.fromisoformat(value)
            except ValueError:
                raise ValueError(
                    "`snapshot` must be an ISO 8601 time, such as 2026-05-01 or 2026-05-01T12:00:00Z, or empty. "
                    f"Received: snapshot={value!r}."
                ) from None
        return value
