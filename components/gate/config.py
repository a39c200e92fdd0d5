"""Parameters of the `gate` step."""

from pydantic import Field, field_validator

from tilepipe.components.gate.judgement.floors import parse_floors
from tilepipe.components.gate.judgement.verdict import MAX_LOSS, MIN_TILES, SIGNIFICANCE
from tilepipe.components.shared.registry.version_config import VersionConfig
from tilepipe.components.shared.runtime.config import StepConfig


class GateOptions(StepConfig):
    """Rarely changed settings of the gate (`options`)."""

    max_loss: float = Field(
        default=MAX_LOSS,
        ge=0,
        le=1,
        description="Largest loss of accuracy that must be ruled out where the difference to the champion is not "
        "significant",
    )
    min_tiles: int = Field(
        default=MIN_TILES, ge=1, description="Smallest number of test tiles on which two models are compared"
    )
    significance: float = Field(
        default=SIGNIFICANCE,
        gt=0,
        lt=1,
        description="p-value of McNemar's test below which a difference is significant",
    )
    resamples: int = Field(default=2000, ge=100, le=100_000, description="Bootstrap resamples of the test tiles")
    seed: int = Field(default=0, ge=0, description="Seed of the bootstrap")
    batch_tiles: int = Field(default=256, ge=1, le=65536, description="Tiles per batch; affects only speed and memory")


class GateConfig(VersionConfig):
    """Version to judge, and the smallest values that its figures may have."""

    floors: dict[str, float] = Field(
        default={},
        description='Smallest accepted value of figures on the test tiles: {"accuracy": 0.9, "recall[Forest]": 0.8, '
        '"f1[*]": 0.5}',
    )
    options: GateOptions = Field(
        default=GateOptions(),
        description='Rarely changed settings of the gate: {"max_loss": 0.02}, {"min_tiles": 100} and others',
    )

    @field_validator("floors")
    @classmethod
    def _known(cls, floors: dict[str, float]) -> dict[str, float]:
        parse_floors(floors)
        return floors
