"""How the tiles come to the training loop: the options of `tiles`, free of heavy imports."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from tilepipe.components.shared.runtime.config import StepConfig

Placement = Literal["auto", "memory", "device", "streamed"]


class DataOptions(StepConfig):
    """Where the tiles are kept while they are trained on."""

    placement: Placement = Field(
        default="auto",
        description="Where a split is kept: in memory, on the device, or streamed from its shards; auto goes by size",
    )
    cache_mebibytes: int = Field(
        default=4096, ge=0, description="Keep a split up to this size in memory, if a third of memory holds it"
    )
    device_mebibytes: int = Field(
        default=4096, ge=0, description="Keep a split up to this size on the GPU, if there is one"
    )
    window_mebibytes: int = Field(
        default=256, ge=1, description="How much of a streamed split is mixed at a time; memory holds two such windows"
    )
    shard_cache_mebibytes: int = Field(
        default=2048, ge=1, description="Most that the disk holds of shards from S3; at least two shards"
    )
    shard_cache_folder: str = Field(
        default="", description="Local folder for shards from S3, of this training alone; empty for a temporary one"
    )

    @field_validator("shard_cache_folder")
    @classmethod
    def _local(cls, folder: str) -> str:
        if "://" in folder:
            raise ValueError(
                f"`shard_cache_folder` must be a local folder. Received: shard_cache_folder={folder!r}. "
                "Leave it empty for a temporary one."
            )
        return folder

    @model_validator(mode="after")
    def _holds_something(self) -> Self:
        if self.placement == "memory" and not self.cache_mebibytes:
            raise ValueError(
                "`cache_mebibytes` must be more than 0 where `placement` is 'memory'. "
                "Received: cache_mebibytes=0. Use placement='streamed' to keep nothing."
            )
        return self
