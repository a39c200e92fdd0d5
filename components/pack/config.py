"""Parameters of the `pack` step."""

from pydantic import Field, field_validator

from tilepipe.components.shared.bands import distinct_bands
from tilepipe.components.shared.config import StepConfig


class PackOptions(StepConfig):
    """Settings that few data sets need."""

    shard_mebibytes: int = Field(default=128, ge=1, le=4096, description="About how large a shard gets, in MiB")
    check_band_identity: bool = Field(
        default=True, description="Whether Sentinel-2's band names are held against the pixels"
    )
    max_quarantine_percent: float = Field(
        default=0.0, ge=0, lt=100, description="Share of the tiles that may be left out as unusable"
    )
    readers: int = Field(default=16, ge=1, le=256, description="Threads that read and decode tiles")


class PackConfig(StepConfig):
    """Which bands are packed, and in what order the tiles stand."""

    bands: tuple[str, ...] = Field(default=(), description="Names of the bands to keep, in order; empty keeps all")
    seed: int = Field(default=0, description="Seed of the order of the tiles")
    options: PackOptions = Field(default=PackOptions(), description="Settings that few data sets need")

    @field_validator("bands")
    @classmethod
    def _bands(cls, bands: tuple[str, ...]) -> tuple[str, ...]:
        return distinct_bands("bands", bands)
