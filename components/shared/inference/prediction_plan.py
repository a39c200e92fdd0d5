"""The plan of a prediction: the model, the tiles and the settings that all of its workers share."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from tilepipe.components.shared.contracts.json_model import JsonModel, read_json
from tilepipe.components.shared.tiles.layout.reading_options import ReadingOptions

SCHEMA_VERSION: Literal[1] = 1


DriftKind = Literal["classes", "confidence", "bands"]
DriftLimit = Annotated[float, Field(ge=0)]
"""Largest distance that is accepted."""


class PredictionOptions(ReadingOptions):
    """Settings that few predictions need."""

    batch_tiles: int = Field(default=64, ge=1, le=4096, description="Tiles per call of the model")
    max_quarantine_percent: float = Field(
        default=50.0,
        ge=0,
        le=100,
        description="Percentage of the tiles that may be left out as unusable, with a warning; more are an error",
    )
    max_drift: dict[DriftKind, DriftLimit] = Field(
        default={},
        description='Largest drift from the training data that is accepted, such as {"classes": 0.25, "confidence": '
        '0.2, "bands": 1}; beyond it the run fails and keeps nothing in output_uri',
    )
    drift_reference: str = Field(
        default="",
        description="Predictions (Parquet) with which classes and confidence are compared, such as those of an earlier "
        "run; empty takes those of the model's evaluation: all for a registered model, else only its classes",
    )

    @field_validator("max_drift")
    @classmethod
    def _max_drift(cls, limits: dict[DriftKind, float]) -> dict[DriftKind, float]:
        if limits.get("confidence", 0) >= 1:
            raise ValueError(
                "`max_drift.confidence` must be below 1, the largest Kolmogorov-Smirnov distance, which no drift "
                f"exceeds. Received: max_drift.confidence={limits['confidence']:g}. Give for example 0.2."
            )
        return limits


class PredictionPlan(JsonModel):
    """The plan, as a JSON artifact."""

    indent: ClassVar[int] = 1

    schema_version: Literal[1] = SCHEMA_VERSION
    model_name: str
    model_version: str
    model_digest: str
    """SHA-256 of the bundle in hexadecimal."""
    model_uri: str
    """Address that was given, without user and query of a web address."""
    class_names: tuple[str, ...]
    tiles: int
    """Tiles to predict."""
    known: int
    """Tiles of the source that have been predicted before."""
    source: str = ""
    """Address of the source."""
    other_source: str = ""
    """Another source whose tiles have ids of this one, and were predicted before; empty for none."""
    known_of_others: int = 0
    """Tiles of the source whose ids are those of predicted tiles of other sources."""
    parts: int
    """Number of workers, at least 1."""
    created: str
    """Time of the plan, such as 20261129T101500Z; it is part of the name of the partition."""
    output_uri: str
    experiment: str
    options: PredictionOptions

    @property
    def source_tiles(self) -> int:
        """All tiles of the source, of which `max_quarantine_percent` is a share.

        Tiles that were left out once are tried again in each run. As a share of the new tiles, they would stop a run
        that finds hardly any others.
        """
        return self.tiles + self.known

    def remark(self) -> str:
        """Return a warning of tiles that may not be those that were predicted before; empty for none."""
        if not self.other_source:
            return ""
        return (
            f"{self.known_of_others:,} of the tiles predicted before were of another source ({self.other_source}) with "
            "the same ids. If it had other tiles, these have no predictions: give another output_uri."
        )

    def part_range(self, part: int) -> range:
        """Return the rows of the tile table that a worker predicts."""
        return range(self.tiles * part // self.parts, self.tiles * (part + 1) // self.parts)


def read_plan(path: Path) -> PredictionPlan:
    """Read a plan.

    Raises:
        ArtifactError: The file is damaged or of another schema version.
    """
    return read_json(PredictionPlan, path, "A plan of predictions", "plan")
