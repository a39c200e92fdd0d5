"""How the learning rate goes over a training, and the two phases that a fine-tune may have."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.shared.runtime.config import StepConfig

if TYPE_CHECKING:
    import keras

Schedule = Literal["constant", "exponential", "inverse_time", "step", "cosine", "reduce_on_plateau"]


class ScheduleOptions(StepConfig):
    """How the learning rate goes. Epochs are counted from the start of a phase, where a training has two."""

    schedule: Schedule = Field(default="constant", description="How the learning rate goes over the epochs")
    warmup_epochs: float = Field(
        default=0.0, ge=0, description="The rate rises in a line over so many epochs, or parts of one, at the start"
    )
    minimum_rate_fraction: float = Field(
        default=0.0, ge=0, lt=1, description="The rate does not sink below this share of what it started from"
    )
    decay_rate: float = Field(
        default=0.9,
        gt=0,
        description="r of exponential, rate * r ** (epochs / decay_epochs), and of inverse_time, "
        "rate / (1 + r * epochs / decay_epochs)",
    )
    decay_epochs: float = Field(default=1.0, gt=0, description="Over how many epochs `decay_rate` counts once")
    step_epochs: tuple[float, ...] = Field(
        default=(),
        description="After how many epochs, in rising order, schedule step multiplies the rate by step_factor",
    )
    step_factor: float = Field(default=0.1, gt=0, lt=1, description="What each step multiplies the rate by")
    plateau_patience_epochs: int = Field(
        default=5, ge=1, description="reduce_on_plateau waits so many epochs for a better one"
    )
    plateau_factor: float = Field(default=0.2, gt=0, lt=1, description="What reduce_on_plateau multiplies the rate by")
    plateau_minimum_change: float = Field(
        default=1e-4, ge=0, description="What is better by less than this is no better to reduce_on_plateau"
    )
    head_epochs: int = Field(
        default=0, ge=0, description="First so many of the epochs train the head alone, the backbone frozen; 0: none"
    )
    finetune_learning_rate: float = Field(
        default=0.0, ge=0, description="Learning rate of the epochs after the head's; 0: a tenth of learning_rate"
    )

    @model_validator(mode="after")
    def _schedule_agrees(self) -> Self:
        if bool(self.step_epochs) != (self.schedule == "step"):
            raise ValueError(
                "`step_epochs` must be given with schedule step, and with no other. "
                f"Received: step_epochs={list(self.step_epochs)} with schedule={self.schedule!r}. "
                "Use schedule='step' with step_epochs=[30, 60], say."
            )
        if any(later <= epoch for epoch, later in itertools.pairwise((0.0, *self.step_epochs))):
            raise ValueError(
                "`step_epochs` must be above 0 and rise. "
                f"Received: step_epochs={list(self.step_epochs)}. Use step_epochs=[30, 60], say."
            )
        if self.schedule == "exponential" and self.decay_rate >= 1:
            raise ValueError(
                "`decay_rate` must be below 1 with schedule exponential. "
                f"Received: decay_rate={self.decay_rate:g}. Use decay_rate=0.9, say."
            )
        if self.schedule == "constant" and self.minimum_rate_fraction:
            raise ValueError(
                "`minimum_rate_fraction` must be 0 with schedule constant, which never sinks. "
                f"Received: minimum_rate_fraction={self.minimum_rate_fraction:g}. Choose another schedule."
            )
        if self.schedule == "reduce_on_plateau" and self.warmup_epochs:
            raise ValueError(
                "`warmup_epochs` must be 0 with schedule reduce_on_plateau, which changes the rate between epochs "
                f"alone. Received: warmup_epochs={self.warmup_epochs:g}. Choose another schedule, such as cosine."
            )
        if self.finetune_learning_rate and not self.head_epochs:
            raise ValueError(
                "`finetune_learning_rate` must be 0 where no epochs train the head alone. Received: "
                f"finetune_learning_rate={self.finetune_learning_rate:g} with head_epochs=0. Set head_epochs, or "
                "use learning_rate."
            )
        return self


@dataclass(frozen=True)
class Phase:
    """Epochs with one optimizer and one schedule."""

    first_epoch: int
    """Counted from 0 over the whole training."""
    epochs: int
    learning_rate: float
    """What the phase's schedule starts from."""
    frozen: bool
    """Whether the backbone is left as it is and the head alone learns."""


def phases(epochs: int, learning_rate: float, options: ScheduleOptions) -> tuple[Phase, ...]:
    """Divide a training into its phases.

    Each has its own optimizer, since it trains other variables, and its own schedule over its own epochs.

    Args:
        epochs: of the whole training.
        learning_rate: of the first phase.
        options: whether there are two.

    Returns:
        One phase, in which the model learns as it came, or two, the first with the backbone frozen.

    Raises:
        ParameterError: the head's epochs leave none for the rest, or a phase is shorter than its warm-up.
    """
    if options.head_epochs >= epochs:
        raise ParameterError(
            "`head_epochs` must be fewer than `epochs`, which counts both phases. "
            f"Received: head_epochs={options.head_epochs} with epochs={epochs}. Use more epochs."
        )
    divided: tuple[Phase, ...] = (Phase(0, epochs, learning_rate, frozen=False),)
    if options.head_epochs:
        head = Phase(0, options.head_epochs, learning_rate, frozen=True)
        finetune_rate = options.finetune_learning_rate or learning_rate / 10
        divided = (head, Phase(head.epochs, epochs - head.epochs, finetune_rate, frozen=False))
    shortest = min(phase.epochs for phase in divided)
    if options.warmup_epochs >= shortest:
        raise ParameterError(
            "`warmup_epochs` must be fewer than the epochs of each phase. "
            f"Received: warmup_epochs={options.warmup_epochs:g} with a phase of {shortest} epochs. "
            "Warm up for a part of an epoch, or use more epochs."
        )
    return divided


def make_schedule(
    learning_rate: float, options: ScheduleOptions, *, steps_per_epoch: int, epochs: int
) -> "float | keras.optimizers.schedules.LearningRateSchedule":
    """Make the schedule of a phase: a function of the optimizer's `iterations`, so that a resume needs nothing else.

    Args:
        learning_rate: where it starts, after the warm-up.
        options: how it goes on.
        steps_per_epoch: optimizer steps an epoch.
        epochs: of the phase, more than the warm-up's.

    Returns:
        The rate itself where it does not change by itself: constant, and reduce_on_plateau, which is for `Plateau`.
    """
    from keras.optimizers import schedules

    from tilepipe.components.train.optimization.warmup import Bounded

    warmup_steps = round(options.warmup_epochs * steps_per_epoch)
    minimum = options.minimum_rate_fraction * learning_rate
    decay_steps = options.decay_epochs * steps_per_epoch
    match options.schedule:
        case "constant" | "reduce_on_plateau":
            # Keras has no schedule of a warm-up alone, but this is one: a line, and then its end.
            return (
                schedules.PolynomialDecay(learning_rate / warmup_steps, warmup_steps, learning_rate)
                if warmup_steps
                else learning_rate
            )
        case "cosine":
            return schedules.CosineDecay(
                # At 0, where a warm-up is often started, the first step would change nothing.
                learning_rate / max(1, warmup_steps),
                steps_per_epoch * epochs - warmup_steps,
                alpha=options.minimum_rate_fraction,
                warmup_target=learning_rate if warmup_steps else None,
                warmup_steps=warmup_steps,
            )
        case "exponential":
            decay = schedules.ExponentialDecay(learning_rate, decay_steps, options.decay_rate)
        case "inverse_time":
            decay = schedules.InverseTimeDecay(learning_rate, decay_steps, options.decay_rate)
        case "step":
            decay = schedules.PiecewiseConstantDecay(
                # Steps count from 0, and a boundary is the last step before the change.
                [round(epoch * steps_per_epoch) - 1 for epoch in options.step_epochs],
                [learning_rate * options.step_factor**steps for steps in range(len(options.step_epochs) + 1)],
            )
    return Bounded(decay, minimum, warmup_steps) if minimum or warmup_steps else decay


class Plateau:
    """Lowers the learning rate where a figure gets no better, as Keras' `ReduceLROnPlateau` does.

    Args:
        learning_rate: what the training starts from.
        options: patience, factor and minimum.
        higher_is_better: whether the figure is one such as accuracy, or one such as loss.
    """

    def __init__(self, learning_rate: float, options: ScheduleOptions, *, higher_is_better: bool) -> None:
        self._options, self._sign = options, 1 if higher_is_better else -1
        self._minimum = learning_rate * options.minimum_rate_fraction
        self._rate, self._best, self._waited = learning_rate, -math.inf, 0

    def see(self, figure: float) -> float | None:
        """Take an epoch's figure.

        Args:
            figure: finite.

        Returns:
            The learning rate from now on, for the optimizer's variable; None where it stays.
        """
        if self._sign * figure > self._best + self._options.plateau_minimum_change:
            self._best, self._waited = self._sign * figure, 0
            return None
        self._waited += 1
        if self._waited < self._options.plateau_patience_epochs or self._rate <= self._minimum:
            return None
        self._rate, self._waited = max(self._rate * self._options.plateau_factor, self._minimum), 0
        return self._rate

    def state(self) -> dict[str, float | None]:
        """What a checkpoint must hold of it, as JSON."""
        # JSON knows no infinity.
        best = self._best if math.isfinite(self._best) else None
        return {"learning_rate": self._rate, "best": best, "waited_epochs": self._waited}

    def restore(self, state: Mapping[str, float | None]) -> None:
        """Go on from what `state` gave."""
        best = state["best"]
        self._best = -math.inf if best is None else best
        self._rate, self._waited = float(state["learning_rate"] or 0), int(state["waited_epochs"] or 0)
