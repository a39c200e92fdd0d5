"""Parameters of the `promote` step."""

from typing import Self

from pydantic import Field, model_validator

from tilepipe.components.shared.runtime.config import StepConfig


class PromoteConfig(StepConfig):
    """Version that becomes champion, and on whose word."""

    name: str = Field(
        min_length=1, max_length=200, pattern=r"^[^/:@]+$", description="Name of the model in the registry"
    )
    version: str = Field(
        default="challenger",
        pattern=r"^([1-9][0-9]*|[A-Za-z][A-Za-z0-9._-]*)$",
        description="Version of the model: its number or an alias",
    )
    override: bool = Field(
        default=False, description="Promote on a person's word, whatever the verdict of the gate; needs a reason"
    )
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

    @property
    def address(self) -> str:
        """Address of the version in the registry, such as `forests/3` or `forests@challenger`."""
        return f"{self.name}{'/' if self.version.isdecimal() else '@'}{self.version}"
