"""The moment as of which a source is read, as a parameter."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator


def _checked(value: str) -> str:
    if "[[" in value:
        raise ValueError(
            f"`snapshot` must be a time. Received: snapshot={value!r}, a macro that Kubeflow did not fill in: KFP "
            "fills in `[[...]]` only in some runs. Leave it empty (a recurring run then takes the time at which it "
            "fires), or give an ISO 8601 time."
        )
    try:
        if value:
            datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(
            "`snapshot` must be empty or a time in ISO 8601, such as 2026-01-31 or 2026-01-31T12:00:00Z. "
            f"Received: snapshot={value!r}."
        ) from None
    return value


Snapshot = Annotated[str, AfterValidator(_checked)]
"""Empty, or an ISO 8601 time; never a macro that KFP left unfilled."""
