"""Learning-rate range test: the loss while the rate rises from far too small to far too large.

After Smith, "Cyclical Learning Rates for Training Neural Networks" (https://arxiv.org/abs/1506.01186), section 3.3,
with the exponentially rising rate and the divergence check of fastai's `LRFinder`
(https://github.com/fastai/fastai/blob/main/fastai/callback/schedule.py).
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.shared.runtime.config import StepConfig

_LOWEST_RATE, _HIGHEST_RATE = 1e-7, 10.0
"""The range of fastai; usable rates lie within it."""
_DIVERGED = 4.0


class RateFinderOptions(StepConfig):
    """Search for a learning rate before the training."""

    learning_rate_finder: Literal["off", "report", "use"] = Field(
        default="off",
        description="report: try rising learning rates before the training and plot the losses; use: also train "
        "with the suggested rate instead of learning_rate",
    )
    finder_steps: int = Field(
        default=100,
        ge=20,
        le=10_000,
        description="Training steps of the learning-rate finder; they are undone afterwards",
    )


class RateCurve(BaseModel):
    """Result of a range test."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rates: tuple[float, ...]
    """Learning rate of each step, rising."""
    losses: tuple[float, ...]
    """Loss of each batch, before its step."""
    smoothed: tuple[float, ...]
    """Bias-corrected moving average of the losses."""
    diverged: bool
    """True if the test stopped early because the loss diverged."""
    suggestion: float | None
    """A tenth of the rate with the lowest smoothed loss; None if the loss did not fall."""
    steepest: float | None
    """The rate at which the smoothed loss fell fastest; None if the loss did not fall."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if not 1 <= len(self.rates) == len(self.losses) == len(self.smoothed):
            raise ValueError("rates, losses and smoothed must be given for each step")
        return self


def find_rate(step: Callable[[float], float], steps: int) -> RateCurve:
    """Train a few steps with a learning rate that rises from 1e-7 to 10, and record the losses.

    The test stops early when the smoothed loss reaches four times its minimum or the loss is not finite. The caller
    must undo the effect of the steps on the model.

    Args:
        step: trains one step with the given learning rate and returns the loss of its batch before the step.
        steps: maximum number of steps, at least 20.

    Returns:
        The rates, the losses and the suggested rate.

    Raises:
        ParameterError: the loss of the first step is not finite, which no learning rate can fix.
    """
    # The average spans a tenth of the steps: a longer one would find the minimum too late.
    momentum = 1 - 10 / steps
    rates: list[float] = []
    losses: list[float] = []
    smoothed: list[float] = []
    average, best, diverged = 0.0, math.inf, False
    for number in range(steps):
        rate = _LOWEST_RATE * (_HIGHEST_RATE / _LOWEST_RATE) ** (number / (steps - 1))
        loss = step(rate)
        if not math.isfinite(loss):
            diverged = True
            break
        average = momentum * average + (1 - momentum) * loss
        rates.append(rate)
        losses.append(loss)
        smoothed.append(average / (1 - momentum ** (number + 1)))
        best = min(best, smoothed[-1])
        if smoothed[-1] > _DIVERGED * best:
            diverged = True
            break
    if not rates:
        raise ParameterError(
            "The loss must be finite at the lowest learning rate of the finder. "
            f"Received: a loss that is not finite at a rate of {_LOWEST_RATE:g}. Look for NaN or extreme values in the "
            "statistics of the manifest, and for damaged weights of the network."
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
    # A loss that only fluctuates has a minimum too, but an arbitrary one.
    if smoothed[0] - smoothed[lowest] < 0.01 * smoothed[0]:
        return None, None
    # The rates rise by a constant factor, so these are slopes over the logarithm of the rate.
    falls = [before - after for before, after in pairwise(smoothed[: lowest + 1])]
    fastest = max(range(len(falls)), key=falls.__getitem__)
    return rates[lowest] / 10, rates[fastest + 1]
