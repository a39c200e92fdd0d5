"""Parameters of the `pack` step."""

from typing import Self

from pydantic import Field, model_validator

from tilepipe.components.shared.contracts.bands import DistinctBands
from tilepipe.components.shared.runtime.config import StepConfig
from tilepipe.components.shared.tiles.layout.reading_options import ReadingOptions

MOST_WORKERS = 256
"""Largest number of pods per data set; starting more takes longer than packing."""


class PackOptions(ReadingOptions):
    """Settings that few data sets need."""

    shard_mebibytes: int = Field(default=128, ge=1, le=4096, description="Approximate size of a shard, in MiB")
    max_quarantine_percent: float = Field(
        default=1.0,
        ge=0,
        lt=100,
        description="Percentage of all tiles that may be left out as unusable, with a warning; more are an error",
    )
    allow_duplicates: bool = Field(
        default=False, description="Whether two splits may contain the same pixels, with a warning"
    )


class PackAllConfig(StepConfig):
    """Bands to pack, and order of the tiles."""

    bands: DistinctBands = Field(default=(), description="Names of the bands to train on, in order; [] takes all")
    seed: int = Field(default=0, description="Seed of the tile order")
    options: PackOptions = Field(
        default=PackOptions(),
        description='Rarely changed settings of pack: {"cache": "s3://bucket/cache"}, {"max_quarantine_percent": 5}, '
        '{"tile_size": [64, 64]} and others',
    )


class PackConfig(PackAllConfig):
    """Bands to pack, order of the tiles, and the part of one worker."""

    part: int = Field(default=0, ge=0, description="Index of this worker's part of the shards, from 0")
    parts: int = Field(
        default=1, ge=1, le=MOST_WORKERS, description="Number of parts; the shards are the same for any number"
    )

    @model_validator(mode="after")
    def _part_of_parts(self) -> Self:
        if self.part >= self.parts:
            raise ValueError(
                f"`part` must be smaller than `parts`, since parts count from 0. Received: part={self.part}, "
                f"parts={self.parts}."
            )
        return self
