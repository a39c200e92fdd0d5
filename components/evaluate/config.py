"""Parameters of the `evaluate` step."""

from pydantic import Field

from tilepipe.components.shared.runtime.config import StepConfig


class EvaluateConfig(StepConfig):
    """MLflow run and batch size."""

    mlflow_run_id: str = Field(default="", description="MLflow run that `train` opened; empty if none is tracked")
    batch_size: int = Field(default=256, ge=1, le=65536, description="Tiles per batch; affects only speed and memory")
