"""Parameters of the `select` step."""

from pydantic import Field

from tilepipe.components.shared.runtime.config import StepConfig


class SelectConfig(StepConfig):
    """Tracking of the comparison."""

    experiment: str = Field(default="tilepipe", min_length=1, description="MLflow experiment")
