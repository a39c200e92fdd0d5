"""Parameters of the `register` step."""

from pydantic import Field

from tilepipe.components.shared.runtime.config import StepConfig


class RegisterConfig(StepConfig):
    """MLflow run, and the name of the model."""

    mlflow_run_id: str = Field(
        default="", description="MLflow run that `train` opened; empty registers nothing, since nothing is tracked"
    )
    name: str = Field(
        default="",
        max_length=100,
        pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]*)?$",
        description="Name of the model in MLflow's registry; default: the name that export gave it",
    )
