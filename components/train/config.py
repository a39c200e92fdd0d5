"""Parameters of the `train` step."""

import re
from typing import Literal

from pydantic import Field, field_validator

from tilepipe.components.shared.config import StepConfig
from tilepipe.components.shared.history import BestMetric

Optimizer = Literal["adam", "sgd", "rmsprop"]
Augmentation = Literal["flip", "quarter_turn"]

_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(|k|M|G|T|Ki|Mi|Gi|Ti)")


class TrainOptions(StepConfig):
    """Settings that few trainings need."""

    best_metric: BestMetric = Field(
        default="val_accuracy", description="Figure that chooses the epoch whose weights are kept"
    )
    early_stopping_patience_epochs: int = Field(
        default=0, ge=0, description="Stop after so many epochs without a better one; 0 never stops early"
    )
    cache_mebibytes: int = Field(
        default=4096, ge=0, description="Keep a split up to this size in memory, if a third of memory holds it"
    )
    deterministic: bool = Field(default=True, description="The same inputs and seed give the same weights")


class TrainConfig(StepConfig):
    """How to train, and what the pod was given for it."""

    epochs: int = Field(default=10, ge=1, description="Passes over the training tiles")
    batch_size: int = Field(default=64, ge=1, description="Tiles a step")
    learning_rate: float = Field(default=0.001, gt=0, description="Learning rate of the optimizer")
    optimizer: Optimizer = Field(default="adam", description="adam, sgd with momentum, or rmsprop")
    augmentation: tuple[Augmentation, ...] = Field(
        default=("flip", "quarter_turn"), description="Changes that leave a training tile's class as it is"
    )
    seed: int = Field(default=0, ge=0, le=2**32 - 1, description="Seed of the tiles' order and the augmentation")
    experiment: str = Field(default="tilepipe", min_length=1, description="MLflow experiment")
    gpu_count: str = Field(default="0", description="How many GPUs the pod asked for")
    gpu_resource: str = Field(default="nvidia.com/gpu", min_length=1, description="Resource name of the GPU")
    memory: str = Field(default="8Gi", description="Memory that the pod was given")
    options: TrainOptions = Field(default=TrainOptions(), description="Settings that few trainings need")

    @field_validator("gpu_count")
    @classmethod
    def _gpu_count(cls, count: str) -> str:
        # A string since Kubernetes takes it as one; KFP may hand on a number's spelling with its decimals.
        if not re.fullmatch(r"\d{1,4}(\.0+)?", count.strip()):
            raise ValueError(
                f"`gpu_count` must be a whole number, 0 or more. Received: gpu_count={count!r}. Give '0' for no GPU."
            )
        return count.strip().partition(".")[0]

    @field_validator("memory")
    @classmethod
    def _quantity(cls, limit: str) -> str:
        if not _QUANTITY.fullmatch(limit.strip()):
            raise ValueError(
                "`memory` must be a quantity as in Kubernetes, such as 8Gi. "
                f"Received: memory={limit!r}. Give a number and one of Ki, Mi, Gi, Ti."
            )
        return limit.strip()

    @field_validator("augmentation")
    @classmethod
    def _once(cls, augmentation: tuple[Augmentation, ...]) -> tuple[Augmentation, ...]:
        return tuple(dict.fromkeys(augmentation))

    @property
    def gpus(self) -> int:
        """How many GPUs the pod asked for."""
        return int(self.gpu_count)

    @property
    def cache_mebibytes(self) -> int:
        """How large a split may be to be kept in memory, beside the network and its batches."""
        match = _QUANTITY.fullmatch(self.memory)
        limit_bytes = float(match[1]) * _UNITS[match[2]] if match else 0.0
        return min(self.options.cache_mebibytes, int(limit_bytes / 3 / 2**20))
