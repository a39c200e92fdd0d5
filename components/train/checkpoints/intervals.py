"""Intervals between checkpoints, apart from their format, whose libraries only the image `train` has."""

from typing import Self

from pydantic import Field, model_validator

from tilepipe.components.shared.runtime.config import StepConfig


class CheckpointOptions(StepConfig):
    """Checkpoint intervals; they have no effect without `checkpoint_uri`."""

    checkpoint_every_seconds: float = Field(
        default=120.0,
        ge=0,
        le=86_400,
        description="Interval between checkpoints, in seconds; 0: only checkpoint_every_epochs counts",
    )
    checkpoint_every_epochs: int = Field(
        default=0, ge=0, description="Interval between checkpoints, in epochs; 0: only checkpoint_every_seconds counts"
    )

    @model_validator(mode="after")
    def _ever(self) -> Self:
        if self.checkpoint_every_seconds == 0 and self.checkpoint_every_epochs == 0:
            raise ValueError(
                "One of `checkpoint_every_seconds` and `checkpoint_every_epochs` must be above 0. Received: "
                "checkpoint_every_seconds=0 and checkpoint_every_epochs=0. Set one of them, or leave checkpoint_uri "
                "empty to disable checkpoints."
            )
        return self

    def is_checkpoint_due(self, seconds: float, finished_epochs: int) -> bool:
        """Return whether either interval has passed since the last checkpoint."""
        return (0 < self.checkpoint_every_seconds <= seconds) or (0 < self.checkpoint_every_epochs <= finished_epochs)
