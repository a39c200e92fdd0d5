"""Parameters of the `prepare` step."""

from typing import Annotated, Literal

from pydantic import Field

from tilepipe.components.shared.config import StepConfig

Architecture = Literal["cnn"]


class ModelOptions(StepConfig):
    """Settings of the network; the defaults learn EuroSAT well in a few epochs on two CPU cores.

    BatchNormalization's momentum is far lower than Keras' 0.99: at a constant learning rate the weights move faster
    than the running means, and validation suffers and jumps (accuracy of the same weights after two epochs of EuroSAT
    RGB: 0.790 with 0.9, 0.794 with 0.8, 0.820 with 0.5).
    """

    filters: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field(
        default=(16, 32, 64, 128), min_length=1, max_length=8, description="Filters of each block, first to last"
    )
    kernel_size: int = Field(default=3, ge=1, le=15, description="Side of the convolutions' kernels, in pixels")
    block_dropout: float = Field(
        default=0.05, ge=0, lt=1, description="Share of values dropped after the last block; less after earlier ones"
    )
    dropout: float = Field(default=0.3, ge=0, lt=1, description="Share of values dropped before the class layer")
    dense_units: int = Field(default=128, ge=1, le=65536, description="Units of the layer before the class layer")
    batch_norm_momentum: float = Field(
        default=0.5, ge=0, lt=1, description="How slowly the running means and variances follow the batches"
    )


class PrepareConfig(StepConfig):
    """Which network, and its first weights."""

    architecture: Architecture = Field(default="cnn", description="The network")
    seed: int = Field(default=0, ge=0, le=2**32 - 1, description="Seed of the first weights")
    options: ModelOptions = Field(default=ModelOptions(), description="Settings of the network")
