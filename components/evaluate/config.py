"""Parameters of `evaluate`."""

from pydantic import Field

from tilepipe.components.shared.runtime.config import StepConfig


class EvaluateConfig(StepConfig):
    """Parameters of `evaluate`, by the names of the component's own."""

    mlflow_run_id: str = ""
    """Run that `train` opened; empty for an untracked one."""
    batch_size: int = Field(default=256, ge=1, le=65536)
    """Tiles a batch: only speed and memory depend on it."""
