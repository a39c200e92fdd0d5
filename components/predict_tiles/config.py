"""Parameters of the `predict_tiles` step; all others are in the plan."""

from pydantic import Field

from tilepipe.components.shared.runtime.config import StepConfig


class PredictTilesConfig(StepConfig):
    """Part of one worker."""

    part: int = Field(default=0, ge=0, description="Number of this worker's part, from 0")
