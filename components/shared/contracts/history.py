"""The history of a training, which `train` writes and `evaluate` shows."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tilepipe.components.shared.contracts.json_model import JsonModel, read_json

SCHEMA_VERSION: Literal[1] = 1

LAST_EPOCH = "last_epoch"
"""Replaces the name of a figure without validation tiles: the last epoch is then the best one."""

ChosenBy = Annotated[str, Field(pattern=rf"^(val_\S.*|{LAST_EPOCH})$")]
"""Name of the figure that selected the best epoch; `LAST_EPOCH` without validation tiles."""


def lower_is_better(metric: str) -> bool:
    """Return whether lower values of a metric are better, which holds only for losses.

    A class may be named after a loss, such as `val_recall/Forest loss`.
    """
    return metric.partition("/")[0].endswith("loss")


def rank(metric: str, figures: Mapping[str, float]) -> tuple[float, float]:
    """Compute the rank of an epoch; the best epoch is the first one with the highest rank.

    Args:
        metric: name of a validation figure.
        figures: figures of the epoch, including `val_loss`.

    Returns:
        The figure, negated if lower is better; then the negated validation loss, which decides between epochs with the
        same figure. NaN ranks below all numbers.
    """
    value = -figures[metric] if lower_is_better(metric) else figures[metric]
    loss = figures["val_loss"]
    return (-math.inf if math.isnan(value) else value, -math.inf if math.isnan(loss) else -loss)


def in_words(metric: str) -> str:
    """Return the readable name of a validation metric, such as `validation recall of Forest`."""
    name, _, of = metric.removeprefix("val_").partition("/")
    words = name.replace("_", " ").replace("macro f1", "macro F1")
    return f"validation {'F1' if words == 'f1' else words}" + (f" of {of}" if of else "")


class History(JsonModel):
    """Figures of each epoch, and the epoch whose weights the model has."""

    schema_version: Literal[1] = SCHEMA_VERSION
    metric: ChosenBy
    """The figure that selected the best epoch."""
    best_epoch: int
    """Counted from 1; the model has the weights of this epoch."""
    epochs: tuple[dict[str, float], ...]
    """One entry per finished epoch, in order. Every entry has `loss`, `accuracy`, `learning_rate`, `seconds` and
    `tiles_per_second` (of training, without validation). With validation tiles it also has `val_loss`, `val_accuracy`,
    `val_balanced_accuracy`, macro averages, and recall, precision and F1 of each class (`val_recall/Forest`).
    Accuracies are fractions."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if not 1 <= self.best_epoch <= len(self.epochs):
            raise ValueError(f"best_epoch must be one of the {len(self.epochs)} epochs")
        if self.has_validation and self.metric not in self.best:
            raise ValueError(f"metric must be one of the best epoch's figures, {sorted(self.best)}")
        return self

    @property
    def has_validation(self) -> bool:
        """True if there were validation tiles."""
        return self.metric != LAST_EPOCH

    @property
    def best(self) -> dict[str, float]:
        """The figures of the best epoch."""
        return self.epochs[self.best_epoch - 1]


def read_history(path: Path) -> History:
    """Read a history.

    Raises:
        ArtifactError: the file is missing, damaged or of another schema version.
    """
    return read_json(History, path, "A history", "train")
