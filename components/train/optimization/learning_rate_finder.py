"""A learning-rate range test: the loss while the rate rises from far too small to far too large.

After Smith, "Cyclical Learning Rates for Training Neural Networks" (https://arxiv.org/abs/1506.01186), section 3.3,
with the rate rising exponentially and the stop at divergence of fastai's `LRFinder`
(https://github.com/fastai/fastai/blob/main/fastai/callback/schedule.py).
"""

import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.shared.runtime.config import StepConfig
from tilepipe.components.shared.storage.atomic import whole_file

LOWEST_RATE, HIGHEST_RATE = 1e-7, 10.0
"""fastai's; whatever trains, trains between them."""
_DIVERGED = 4.0


class RateFinderOptions(StepConfig):
    """Whether a learning rate is looked for before the training."""

    learning_rate_finder: Literal["off", "report", "use"] = Field(
        default="off",
        description="Try rising learning rates before the training and draw the losses; use: train with the rate "
        "that they suggest instead of learning_rate",
    )
    finder_steps: int = Field(
        default=100, ge=20, le=10_000, description="Training steps of the learning-rate finder, which are undone after"
    )


class RateCurve(BaseModel):
    """What a range test saw."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rates: tuple[float, ...]
    """Learning rate of each step, rising."""
    losses: tuple[float, ...]
    """Loss of each step's batch, before the step."""
    smoothed: tuple[float, ...]
    """Moving average of the losses, not drawn to zero at its start."""
    diverged: bool
    """Whether the test ended since the loss grew without bounds, and not with its last rate."""
    suggestion: float | None
    """A tenth of the rate at the lowest smoothed loss; None where the loss did not fall."""
    steepest: float | None
    """The rate at which the smoothed loss fell fastest, which is bolder or not; None where the loss did not fall."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if not 1 <= len(self.rates) == len(self.losses) == len(self.smoothed):
            raise ValueError("rates, losses and smoothed must be given for each step")
        return self

    def write(self, path: Path) -> None:
        """Write the curve as indented JSON, whole or not at all; `RateCurve.model_validate_json` reads it."""
        with whole_file(path) as partial:
            partial.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")


def find_rate(
    step: Callable[[float], float],
    *,
    lowest: float = LOWEST_RATE,
    highest: float = HIGHEST_RATE,
    steps: int = 100,
) -> RateCurve:
    """Train a few steps with a rising learning rate, and see where the loss falls and where it grows.

    The test ends early where the smoothed loss is four times the best so far or the loss leaves the numbers. What the
    steps did to the model is for the caller to undo.

    Args:
        step: trains one step with the learning rate that it is given, and returns the loss of its batch before.
        lowest: learning rate of the first step.
        highest: of the last.
        steps: how many, at most.

    Returns:
        The rates and losses, and the rate that they suggest.

    Raises:
        ParameterError: the loss of the first step is no number: no learning rate mends that.
    """
    # The average reaches back over a tenth of the steps: over more, it finds the lowest loss too late.
    momentum = 1 - 10 / max(steps, 20)
    rates: list[float] = []
    losses: list[float] = []
    smoothed: list[float] = []
    average, best, diverged = 0.0, math.inf, False
    for number in range(steps):
        rate = lowest * (highest / lowest) ** (number / (steps - 1))
        loss = step(rate)
        if not math.isfinite(loss):
            diverged = True
            break
        average = momentum * average + (1 - momentum) * loss
        rates.append(rate)
        losses.append(loss)
        smoothed.append(average / (1 - momentum ** (number + 1)))
        best = min(best, smoothed[-1])
        # For losses above 0, this is four times the best; the cosine's lie below.
        if smoothed[-1] - best > (_DIVERGED - 1) * abs(best):
            diverged = True
            break
    if not rates:
        raise ParameterError(
            "The loss must be a number before the learning rate is looked for. "
            f"Received: a loss that is none at a rate of {lowest:g}. Look for NaN or extreme values in the manifest's "
            "statistics, and for a network that was given broken weights."
        )
    suggestion, steepest = _suggestions(rates, smoothed)
    return RateCurve(
        rates=tuple(rates),
        losses=tuple(losses),
        smoothed=tuple(smoothed),
        diverged=diverged,
        suggestion=suggestion,
        steepest=steepest,
    )


def _suggestions(rates: list[float], smoothed: list[float]) -> tuple[float | None, float | None]:
    lowest = min(range(len(rates)), key=smoothed.__getitem__)
    # A loss that only wavers has its lowest point somewhere too, which says nothing.
    if smoothed[0] - smoothed[lowest] < 0.01 * abs(smoothed[0]):
        return None, None
    # The rates rise by the same factor from step to step, so these are slopes against their logarithm.
    falls = [before - after for before, after in pairwise(smoothed[: lowest + 1])]
    fastest = max(range(len(falls)), key=falls.__getitem__)
    return rates[lowest] / 10, rates[fastest + 1]
