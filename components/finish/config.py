"""Parameters of the `finish` step."""

from pydantic import Field

from tilepipe.components.shared.runtime.config import StepConfig


class FinishConfig(StepConfig):
    """Record of a failure before training opened a run."""

    experiment: str = Field(
        default="tilepipe", min_length=1, description="MLflow experiment for a failure before training opened a run"
    )
