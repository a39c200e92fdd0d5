"""Parameters of the `pack` step."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from tilepipe.components.pack.tiles.alpha import AlphaPolicy
from tilepipe.components.pack.tiles.channels import Channels
from tilepipe.components.pack.tiles.fit import Fit
from tilepipe.components.pack.tiles.resample import Resampling
from tilepipe.components.shared.contracts.bands import distinct_bands
from tilepipe.components.shared.runtime.config import StepConfig

MOST_WORKERS = 256
"""Largest number of pods per data set; starting more takes longer than packing."""

LARGEST_SIDE = 8192
"""Largest height and width of a tile in pixels; a larger value is taken for a mistake."""


class PackOptions(StepConfig):
    """Settings that few data sets need."""

    shard_mebibytes: int = Field(default=128, ge=1, le=4096, description="Approximate size of a shard, in MiB")
    check_band_identity: bool = Field(
        default=True,
        description="Whether Sentinel-2 band names are checked against the pixels, unless those have 8 bits",
    )
    max_quarantine_percent: float = Field(
        default=1.0,
        ge=0,
        lt=100,
        description="Percentage of all tiles that may be left out as unusable, with a warning; more are an error",
    )
    allow_duplicates: bool = Field(
        default=False, description="Whether two splits may contain the same pixels, with a warning"
    )
    tile_size: tuple[int, ...] = Field(
        default=(), description="Height and width to which all tiles are resized; empty keeps their size"
    )
    fit: Fit = Field(
        default="stretch",
        description="How tiles of another shape are fitted to tile_size: stretch, pad with nodata, or crop to the "
        "center; pad and crop keep the ratio of height and width",
    )
    channels: Channels = Field(
        default="",
        description="Channels to which grey and color images are converted: rgb (3) or grey (1); empty keeps theirs",
    )
    allow_mixed_scaling: bool = Field(
        default=False,
        description="Whether GeoTIFFs may state different scales or offsets, which are never applied",
    )
    resampling: Resampling = Field(
        default="bilinear", description="Resampling of tiles and bands; antialiased when they shrink, except nearest"
    )
    max_nodata_percent: float = Field(
        default=100.0,
        ge=0,
        le=100,
        description="Largest percentage of nodata in a tile; others are left out, as are all blank tiles",
    )
    nodata: float | Literal["nan"] | None = Field(
        default=None, description='Number that marks invalid pixels in files that state none; "nan" is NaN'
    )
    alpha: AlphaPolicy = Field(
        default="auto",
        description="Use of a channel marked as alpha: mask makes pixels with 0 invalid, band keeps it as a band, and "
        "auto is band if all channels have names, otherwise mask if it holds only transparency",
    )
    nodata_fill: float | None = Field(
        default=None,
        description="Number packed in place of nodata; null for that of the files, with 0 in place of NaN",
    )
    cache: str = Field(
        default="",
        description="Folder or s3://bucket/prefix that keeps fetched tiles for later runs; empty keeps none",
    )
    readers: int = Field(default=16, ge=1, le=256, description="Threads that read and decode tiles")

    @field_validator("tile_size")
    @classmethod
    def _tile_size(cls, size: tuple[int, ...]) -> tuple[int, ...]:
        if size and (len(size) != 2 or not all(1 <= side <= LARGEST_SIDE for side in size)):
            raise ValueError(
                f"`tile_size` must be empty, or a height and a width of 1 to {LARGEST_SIDE} pixels. "
                f"Received: tile_size={list(size)}."
            )
        return size

    @model_validator(mode="after")
    def _fit_needs_size(self) -> Self:
        if self.fit != "stretch" and not self.tile_size:
            raise ValueError(
                f"`fit` is for tiles that are resized to `tile_size`. Received: fit={self.fit!r} without tile_size. "
                "Set tile_size=[height, width]."
            )
        return self


class PackConfig(StepConfig):
    """Bands to pack, order of the tiles, and the part of one worker."""

    bands: tuple[str, ...] = Field(default=(), description="Names of the bands to train on, in order; [] takes all")
    seed: int = Field(default=0, description="Seed of the tile order")
    part: int = Field(default=0, ge=0, description="Index of this worker's part of the shards, from 0")
    parts: int = Field(
        default=1, ge=1, le=MOST_WORKERS, description="Number of parts; the shards are the same for any number"
    )
    options: PackOptions = Field(
        default=PackOptions(),
        description='Rarely changed settings of pack: {"cache": "s3://bucket/cache"}, {"max_quarantine_percent": 5}, '
        '{"tile_size": [64, 64]} and others',
    )

    @field_validator("bands")
    @classmethod
    def _bands(cls, bands: tuple[str, ...]) -> tuple[str, ...]:
        return distinct_bands("bands", bands)

    @model_validator(mode="after")
    def _part_of_parts(self) -> Self:
        if self.part >= self.parts:
            raise ValueError(
                f"`part` must be smaller than `parts`, since parts count from 0. Received: part={self.part}, "
                f"parts={self.parts}."
            )
        return self
