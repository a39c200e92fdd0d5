"""Settings of the reading of tiles, which steps share that read them."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from tilepipe.components.shared.runtime.config import StepConfig
from tilepipe.components.shared.storage.sizes import MAX_BYTES, MEBIBYTE, MOST_MEBIBYTES
from tilepipe.components.shared.tiles.alpha import AlphaPolicy
from tilepipe.components.shared.tiles.channels import Channels
from tilepipe.components.shared.tiles.fit import Fit
from tilepipe.components.shared.tiles.resample import Resampling

LARGEST_SIDE = 8192
"""Largest height and width of a tile in pixels; a larger value is taken for a mistake."""


class ReadingOptions(StepConfig):
    """Settings of the reading that few data sets need."""

    check_band_identity: bool = Field(
        default=True,
        description="Whether Sentinel-2 band names are checked against the pixels, unless those have 8 bits",
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
        description="Whether GeoTIFFs may state different scales or offsets, which are not applied",
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
    max_tile_mebibytes: int = Field(
        default=MAX_BYTES // MEBIBYTE,
        ge=1,
        le=MOST_MEBIBYTES,
        description="Largest size of a tile, as a file and as pixels, in MiB; larger ones are left out before they are "
        "read into memory",
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
    readers: int = Field(
        default=16,
        ge=1,
        le=256,
        description="Threads that read and decode tiles; for files in S3, one more than CPUs request as many tiles "
        "ahead as these",
    )

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
