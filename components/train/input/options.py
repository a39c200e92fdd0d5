"""Options of the input pipeline, free of heavy imports."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from tilepipe.components.shared.runtime.config import StepConfig

Placement = Literal["auto", "memory", "device", "streamed"]


class DataOptions(StepConfig):
    """Placement of the tiles during training."""

    placement: Placement = Field(
        default="auto",
        description="Placement of each split: memory, device, or streamed from its shards; auto chooses by size",
    )
    cache_mebibytes: int = Field(
        default=4096, ge=0, description="Largest split to keep in memory; it must also fit into a third of memory"
    )
    device_mebibytes: int = Field(default=4096, ge=0, description="Largest split to keep on the GPU, if there is one")
    window_mebibytes: int = Field(
        default=256, ge=1, description="Shuffle window of a streamed split; memory holds two windows"
    )
    shard_cache_mebibytes: int = Field(
        default=2048, ge=1, description="Size limit of the disk cache for shards from S3; at least two shards"
    )
    shard_cache_folder: str = Field(
        default="",
        description="Local cache folder for shards from S3, used by this training only; empty: a temporary folder",
    )

    @field_validator("shard_cache_folder")
    @classmethod
    def _local(cls, folder: str) -> str:
        if "://" in folder:
            raise ValueError(
                f"`shard_cache_folder` must be a local folder. Received: shard_cache_folder={folder!r}. "
                "Leave it empty for a temporary folder."
            )
        return folder

    @model_validator(mode="after")
    def _holds_something(self) -> Self:
        if self.placement == "memory" and not self.cache_mebibytes:
            raise ValueError(
                "`cache_mebibytes` must be above 0 if `placement` is 'memory'. "
                "Received: cache_mebibytes=0. Use placement='streamed' to keep nothing in memory."
            )
        return self
