"""The history of a training: what `train` writes, and `evaluate` shows."""

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from tilepipe.components.shared.atomic import whole_file
from tilepipe.components.shared.errors import ArtifactError

SCHEMA_VERSION: Literal[1] = 1

BestMetric = Literal["val_accuracy", "val_loss"]
"""Figures that can choose the best epoch: accuracy the highest, loss the lowest."""
ChosenBy = Literal["val_accuracy", "val_loss", "last_epoch"]
"""What chose the epoch: a figure, or, where there are no validation tiles, its being the last."""


class History(BaseModel):
    """Figures of each epoch, and which epoch the model was taken from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = SCHEMA_VERSION
    metric: ChosenBy
    """The figure that chose the best epoch."""
    best_epoch: int
    """Counted from 1; the model's weights are this epoch's."""
    epochs: tuple[dict[str, float], ...]
    """One entry a finished epoch, in order. Always there: `loss`, `accuracy`, `learning_rate`, `seconds` and
    `tiles_per_second` (training alone, without validation); with validation tiles also `val_loss` and `val_accuracy`.
    Accuracies are fractions."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if not 1 <= self.best_epoch <= len(self.epochs):
            raise ValueError(f"best_epoch must be one of the {len(self.epochs)} epochs")
        return self

    @property
    def has_validation(self) -> bool:
        """Whether there were validation tiles."""
        return self.metric != "last_epoch"

    @property
    def best(self) -> dict[str, float]:
        """The figures of the best epoch."""
        return self.epochs[self.best_epoch - 1]

    def write(self, path: Path) -> None:
        """Write the history as indented JSON, whole or not at all."""
        with whole_file(path) as partial:
            partial.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")


def read_history(path: Path) -> History:
    """Read a history.

    Args:
        path: the artifact's file.

    Returns:
        The checked history.

    Raises:
        ArtifactError: the file is missing, damaged or of another schema version.
    """
    try:
        return History.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError, OSError) as error:
        raise ArtifactError(
            f"A history must be JSON of schema version {SCHEMA_VERSION}. Received: {path}, which reads as: {error}. "
            "Run `train` again with this version of tilepipe."
        ) from error
