"""Parameters of the `evaluate` step."""

from pydantic import Field

from tilepipe.components.evaluate.tiles.tile_variants import Variation
from tilepipe.components.shared.runtime.config import StepConfig


class EvaluateOptions(StepConfig):
    """Rarely changed settings of the evaluation (`options`)."""

    test_time_augmentation: tuple[Variation, ...] = Field(
        default=(),
        description="Also average the probabilities over variants of each tile: any of flip, quarter_turn; costs up to "
        "seven more predictions",
    )
    top_k: int = Field(default=3, ge=1, le=100, description="`k` of the top-k accuracy, bounded by the classes")
    bootstrap_resamples: int = Field(
        default=1000, ge=0, le=100_000, description="Resamples for the 95 % intervals; 0 computes none"
    )
    seed: int = Field(default=0, ge=0, le=2**32 - 1, description="Seed of the resamples")
    mistakes: int = Field(default=12, ge=0, le=100, description="Number of confident mistakes in the report")
    examples: int = Field(default=3, ge=0, le=10, description="Typical tiles per class in the report")


class EvaluateConfig(StepConfig):
    """MLflow run, batch size, and settings of the evaluation."""

    mlflow_run_id: str = Field(default="", description="MLflow run that `train` opened; empty if none is tracked")
    batch_size: int = Field(default=256, ge=1, le=65536, description="Tiles per batch; affects only speed and memory")
    options: EvaluateOptions = Field(
        default=EvaluateOptions(),
        description='Rarely changed settings of evaluate: {"test_time_augmentation": ["flip", "quarter_turn"]}, '
        '{"top_k": 5}, {"mistakes": 50} and others',
    )
