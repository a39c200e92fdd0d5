"""Parameters of the `train` step."""

import re
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from tilepipe.components.shared.runtime.config import StepConfig
from tilepipe.components.train.checkpoints.intervals import CheckpointOptions
from tilepipe.components.train.figures.epoch_figures import check_name_of_metric
from tilepipe.components.train.input.augmentation import Augmentation, AugmentationOptions
from tilepipe.components.train.input.options import DataOptions
from tilepipe.components.train.optimization.class_weights import ClassWeightOptions
from tilepipe.components.train.optimization.learning_rate_finder import RateFinderOptions
from tilepipe.components.train.optimization.losses import LossOptions
from tilepipe.components.train.optimization.optimizers import Optimizer, OptimizerOptions, check_optimizer
from tilepipe.components.train.optimization.schedules import ScheduleOptions, phases
from tilepipe.components.train.tracking.trackers import TrackingOptions

Precision = Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"]

_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(|k|M|G|T|Ki|Mi|Gi|Ti)")


class DeviceOptions(StepConfig):
    """Use of the hardware."""

    require_gpu: bool = Field(default=True, description="Stop if the pod requests a GPU and TensorFlow finds none")
    precision: Precision = Field(
        default="auto",
        description="Dtype policy of the layers; auto times the choices on a GPU and is float32 on a CPU",
    )
    xla: Literal["auto", "on", "off"] = Field(
        default="auto", description="Compile the training step with XLA; auto times both on a GPU and is off on a CPU"
    )
    steps_per_execution: int = Field(
        default=1,
        ge=1,
        le=10_000,
        description="Training steps per `train_function` call; higher values reduce GPU idle time",
    )
    deterministic: bool = Field(
        default=True, description="Use deterministic kernels: the same inputs and seed give the same weights"
    )


class SelectionOptions(StepConfig):
    """Selection of the best epoch, and early stopping."""

    best_metric: str = Field(
        default="val_accuracy",
        max_length=300,
        description="Metric that selects the epoch whose weights are kept: val_accuracy, val_loss, "
        "val_balanced_accuracy, val_macro_f1, val_recall/Forest and others",
    )
    early_stopping_patience_epochs: int = Field(
        default=0, ge=0, description="Stop after this many epochs without improvement; 0 disables early stopping"
    )

    @field_validator("best_metric")
    @classmethod
    def _known_figure(cls, metric: str) -> str:
        check_name_of_metric(metric)
        return metric


class TrainOptions(
    SelectionOptions,
    LossOptions,
    ClassWeightOptions,
    OptimizerOptions,
    ScheduleOptions,
    RateFinderOptions,
    AugmentationOptions,
    DataOptions,
    DeviceOptions,
    CheckpointOptions,
    TrackingOptions,
):
    """Rarely changed settings; each group is defined in the module that uses it."""


class TrainConfig(StepConfig):
    """Training, and the resources of its pod."""

    epochs: int = Field(default=10, ge=1, description="Number of passes over the training tiles")
    batch_size: int = Field(default=64, ge=1, description="Tiles per training step, shared by all GPUs")
    learning_rate: float = Field(default=0.001, gt=0, description="Learning rate of the optimizer")
    optimizer: Optimizer = Field(
        default="adam", description="Optimizer: adam, adamw, sgd (with momentum 0.9) or rmsprop"
    )
    augmentation: tuple[Augmentation, ...] = Field(
        default=("flip", "quarter_turn"),
        description="Random changes to training tiles: any of flip, quarter_turn, shift, zoom, contrast, brightness, "
        "cutout, mixup; [] for none",
    )
    seed: int = Field(default=0, ge=0, le=2**32 - 1, description="Seed of the tile order and the augmentation")
    checkpoint_uri: str = Field(
        default="",
        description="Folder or s3://bucket/prefix for checkpoints, from which an interrupted training resumes; empty "
        "keeps none, but tilepipe run then keeps them beside its runs",
    )
    experiment: str = Field(default="tilepipe", min_length=1, description="MLflow experiment")
    gpu_count: str = Field(default="0", description="Number of GPUs to train on; 0 trains on the CPU of any node")
    gpu_resource: str = Field(default="nvidia.com/gpu", min_length=1, description="Kubernetes resource name of the GPU")
    memory: str = Field(
        default="4Gi", description="Memory of the training pod, such as 8Gi; up to a third of it holds tiles"
    )
    options: TrainOptions = Field(
        default=TrainOptions(),
        description='Rarely changed settings of training: {"schedule": "cosine"}, {"ema_momentum": 0.999}, '
        '{"early_stopping_patience_epochs": 5} and others',
    )

    @model_validator(mode="after")
    def _options_agree(self) -> Self:
        check_optimizer(self.optimizer, self.options)
        phases(self.epochs, self.learning_rate, self.options)
        return self

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
        """Number of GPUs that the pod requests."""
        return int(self.gpu_count)

    @property
    def memory_mebibytes(self) -> int:
        """Memory for tiles, in MiB, apart from the network and its batches."""
        match = _QUANTITY.fullmatch(self.memory)
        limit_bytes = float(match[1]) * _UNITS[match[2]] if match else 0.0
        return int(limit_bytes / 3 / 2**20)
