"""Parameters of the `promote` step."""

from typing import Self

from pydantic import Field, model_validator

from tilepipe.components.shared.registry.version_config import VersionConfig


class PromoteConfig(VersionConfig):
    """Version that becomes champion, and whether a person overrides the gate."""

    override: bool = Field(default=False, description="Promote regardless of the gate's verdict; needs a reason")
    reason: str = Field(
        default="", max_length=2000, description="Reason for the history; required to override the gate"
    )

    @model_validator(mode="after")
    def _has_reason(self) -> Self:
        if self.override and not self.reason.strip():
            raise ValueError(
                "A promotion that overrides the gate needs a reason for the history. Received: "
                f"override={self.override}, reason={self.reason!r}. Give one."
            )
        return self
