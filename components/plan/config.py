"""Parameters of the `plan` step."""

from pydantic import Field

from tilepipe.components.shared.inference.model_address import MODEL_ADDRESSES, ModelAddress
from tilepipe.components.shared.inference.prediction_plan import PredictionOptions
from tilepipe.components.shared.runtime.config import StepConfig
from tilepipe.components.shared.storage.place import PlaceAddress

MOST_WORKERS = 256
"""Largest number of pods that predict."""


class PlanConfig(StepConfig):
    """Model, place of the predictions, and number of workers."""

    model_uri: ModelAddress = Field(min_length=1, description=f"Address of the model: {MODEL_ADDRESSES}")
    output_uri: PlaceAddress = Field(
        default="",
        description="Folder or s3://bucket/prefix that keeps the predictions of all runs: only tiles that are in none "
        "of its files are predicted, and a file with them is added; empty predicts all tiles",
    )
    workers: int = Field(
        default=1, ge=1, le=MOST_WORKERS, description="Number of pods that share the prediction; fewer for few tiles"
    )
    experiment: str = Field(default="tilepipe", description="MLflow experiment; empty tracks nothing")
    options: PredictionOptions = Field(
        default=PredictionOptions(),
        description='Rarely changed settings of the prediction: {"tile_size": [64, 64]}, {"max_drift": {"classes": '
        '0.25}}, {"max_quarantine_percent": 5} and others',
    )
