"""Parameters of the `finish` step."""

from pydantic import Field

from tilepipe.components.shared.runtime.config import StepConfig


class FinishConfig(StepConfig):
    """Where a failure is recorded that happened before training opened a run."""

    experiment: str = Field(default="tilepipe", min_length=1, description="MLflow experiment")
