"""Freezing of a backbone: all of it, none of it, or all but its last blocks."""

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from tilepipe.components.prepare.networks.networks import NETWORKS, Architecture
from tilepipe.components.prepare.weights.weights import WeightsOptions
from tilepipe.components.shared.errors import ParameterError

if TYPE_CHECKING:
    import keras

Trainable = Literal["all", "last_blocks", "none"]


class FreezingOptions(WeightsOptions):
    """Trainable part of the backbone."""

    trainable_backbone: Trainable = Field(
        default="all", description="Trainable part of the backbone: all, last_blocks or none"
    )
    trainable_blocks: int = Field(
        default=0,
        ge=0,
        le=1000,
        description='Number of trainable blocks at the end of the backbone, with "last_blocks"',
    )

    @model_validator(mode="after")
    def _freezing_agrees(self) -> Self:
        if (self.trainable_backbone == "last_blocks") != (self.trainable_blocks > 0):
            raise ValueError(
                "`trainable_blocks` is the number of blocks that learn with trainable_backbone='last_blocks', and 0 "
                f"otherwise. Received: trainable_backbone={self.trainable_backbone!r} and "
                f"trainable_blocks={self.trainable_blocks}. Give both or neither."
            )
        return self


def freeze(backbone: "keras.Model", architecture: Architecture, trainable: Trainable, blocks: int = 0) -> None:
    """Set which layers of a backbone are trainable; the flags are saved with the model.

    A frozen BatchNormalization also keeps its running means and variances, and normalizes with them in training
    (https://keras.io/api/layers/normalization_layers/batch_normalization/).

    Args:
        backbone: the network without its head.
        architecture: name of the network.
        trainable: trainable part. With `last_blocks`, layers after the last block are trainable too.
        blocks: number of trainable blocks, with `last_blocks`.

    Raises:
        ParameterError: the backbone has fewer blocks.
    """
    first = 0
    if trainable == "last_blocks":
        starts = _block_starts(backbone, architecture)
        if not 1 <= blocks <= len(starts):
            raise ParameterError(
                f"`trainable_blocks` must be from 1 to {len(starts)}, the backbone's blocks. "
                f"Received: trainable_blocks={blocks}."
            )
        first = starts[-blocks]
    backbone.trainable = trainable != "none"
    for place, layer in enumerate(backbone.layers):  # a value that the model has already does not reach its layers
        layer.trainable = trainable != "none" and place >= first


def _block_starts(backbone: "keras.Model", architecture: Architecture) -> list[int]:
    """Return the index of the first layer of each block; no connection bypasses the end of a block."""
    network, names = NETWORKS[architecture], [layer.name for layer in backbone.layers]
    if network.block_end_pattern:
        ends = [place for place, name in enumerate(names) if network.block_end_pattern.fullmatch(name)]
        return [0, *(end + 1 for end in ends[:-1])]
    firsts: dict[str, int] = {}
    for place, name in enumerate(names):
        match = network.block_pattern.match(name) if network.block_pattern else None
        if match:
            firsts.setdefault(match[1], place)
    return sorted(firsts.values())
