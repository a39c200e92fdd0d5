"""Parameters that name a version of a registered model."""

from pydantic import Field

from tilepipe.components.shared.runtime.config import StepConfig


class VersionConfig(StepConfig):
    """Base of the configurations of steps that work on a registered version."""

    name: str = Field(
        min_length=1, max_length=200, pattern=r"^[^/:@]+$", description="Name of the model in the registry"
    )
    version: str = Field(
        default="challenger",
        pattern=r"^([1-9][0-9]*|[A-Za-z][A-Za-z0-9._-]*)$",
        description="Version of the model: its number or an alias",
    )

    @property
    def address(self) -> str:
        """Address of the version in the registry, such as `forests/3` or `forests@challenger`."""
        return f"{self.name}{'/' if self.version.isdecimal() else '@'}{self.version}"
