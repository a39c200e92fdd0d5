"""Learning-rate schedules and the phases of a training."""

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
    """Learning-rate schedule. In a training with two phases, epochs count from the start of the phase."""

    schedule: Schedule = Field(default="constant", description="Learning-rate schedule")
    warmup_epochs: float = Field(
        default=0.0, ge=0, description="Length of the linear warm-up, in epochs or fractions of one; 0: none"
    )
    minimum_rate_fraction: float = Field(
        default=0.0, ge=0, lt=1, description="Lower bound of the learning rate, as a fraction of its initial value"
    )
    decay_rate: float = Field(
        default=0.9,
        gt=0,
        description="r in exponential, rate * r ** (epochs / decay_epochs), and in inverse_time, "
        "rate / (1 + r * epochs / decay_epochs)",
    )
    decay_epochs: float = Field(default=1.0, gt=0, description="Epochs over which `decay_rate` is applied once")
    step_epochs: tuple[float, ...] = Field(
        default=(),
        description="Epochs, in rising order, after which schedule step multiplies the rate by step_factor",
    )
    step_factor: float = Field(default=0.1, gt=0, lt=1, description="Factor of schedule step")
    plateau_patience_epochs: int = Field(
        default=5, ge=1, description="Epochs without improvement before reduce_on_plateau lowers the rate"
    )
    plateau_factor: float = Field(default=0.2, gt=0, lt=1, description="Factor of reduce_on_plateau")
    plateau_minimum_change: float = Field(
        default=1e-4, ge=0, description="Smallest change that reduce_on_plateau counts as an improvement"
    )
    head_epochs: int = Field(
        default=0, ge=0, description="Initial epochs that train only the head, with the backbone frozen; 0: none"
    )
    finetune_learning_rate: float = Field(
        default=0.0, ge=0, description="Learning rate after head_epochs; 0: a tenth of learning_rate"
    )

    @model_validator(mode="after")
    def _schedule_agrees(self) -> Self:
        if bool(self.step_epochs) != (self.schedule == "step"):
            raise ValueError(
                "`step_epochs` must be given with schedule step, and with no other. "
                f"Received: step_epochs={list(self.step_epochs)} with schedule={self.schedule!r}. "
                "For example, use schedule='step' with step_epochs=[30, 60]."
            )
        if any(later <= epoch for epoch, later in itertools.pairwise((0.0, *self.step_epochs))):
            raise ValueError(
                "`step_epochs` must be above 0 and rise. "
                f"Received: step_epochs={list(self.step_epochs)}. For example, use step_epochs=[30, 60]."
            )
        if self.schedule == "exponential" and self.decay_rate >= 1:
            raise ValueError(
                "`decay_rate` must be below 1 with schedule exponential. "
                f"Received: decay_rate={self.decay_rate:g}. For example, use decay_rate=0.9."
            )
        if self.schedule == "constant" and self.minimum_rate_fraction:
            raise ValueError(
                "`minimum_rate_fraction` must be 0 with schedule constant, which never lowers the rate. "
                f"Received: minimum_rate_fraction={self.minimum_rate_fraction:g}. Choose another schedule."
            )
        if self.schedule == "reduce_on_plateau" and self.warmup_epochs:
            raise ValueError(
                "`warmup_epochs` must be 0 with schedule reduce_on_plateau, which changes the rate only between "
                f"epochs. Received: warmup_epochs={self.warmup_epochs:g}. Choose another schedule, such as cosine."
            )
        if self.finetune_learning_rate and not self.head_epochs:
            raise ValueError(
                "`finetune_learning_rate` must be 0 if `head_epochs` is 0. Received: "
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
    """Initial learning rate of the phase."""
    frozen: bool
    """True if the backbone is frozen and only the head is trained."""


def phases(epochs: int, learning_rate: float, options: ScheduleOptions) -> tuple[Phase, ...]:
    """Divide a training into its phases.

    Each phase has its own optimizer, since it trains other variables, and its own schedule.

    Args:
        epochs: epochs of the whole training.
        learning_rate: learning rate of the first phase.
        options: the schedule options; `head_epochs` adds a phase.

    Returns:
        One phase, or two of which the first has the backbone frozen.

    Raises:
        ParameterError: `head_epochs` leaves no epoch for the second phase, or a phase is no longer than its warm-up.
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
            "Use fewer warm-up epochs, such as a fraction of one, or more epochs."
        )
    return divided


def fewest_epochs(options: ScheduleOptions) -> int:
    """Return the smallest number of epochs that `phases` divides."""
    return options.head_epochs + math.floor(options.warmup_epochs) + 1


def make_schedule(
    learning_rate: float, options: ScheduleOptions, *, steps_per_epoch: int, epochs: int
) -> "float | keras.optimizers.schedules.LearningRateSchedule":
    """Create the schedule of a phase: a function of the optimizer's `iterations`, so that resuming needs no more state.

    Args:
        learning_rate: initial learning rate, after the warm-up.
        options: the schedule options.
        steps_per_epoch: optimizer steps per epoch.
        epochs: epochs of the phase; more than those of the warm-up.

    Returns:
        A schedule, or the rate itself for constant and for reduce_on_plateau, which `Plateau` implements.
    """
    from keras.optimizers import schedules

    from tilepipe.components.train.optimization.warmup import WarmupWithFloor

    warmup_steps = round(options.warmup_epochs * steps_per_epoch)
    minimum = options.minimum_rate_fraction * learning_rate
    decay_steps = options.decay_epochs * steps_per_epoch
    match options.schedule:
        case "constant" | "reduce_on_plateau":
            # Keras has no schedule with only a warm-up; a linear decay to a higher rate is one.
            return (
                schedules.PolynomialDecay(learning_rate / warmup_steps, warmup_steps, learning_rate)
                if warmup_steps
                else learning_rate
            )
        case "cosine":
            return schedules.CosineDecay(
                # Starting the warm-up at 0 would make the first step ineffective.
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
    return WarmupWithFloor(decay, minimum, warmup_steps) if minimum or warmup_steps else decay


class Plateau:
    """Reduction of the learning rate when a metric stops improving, as in Keras' `ReduceLROnPlateau`.

    Args:
        learning_rate: initial learning rate.
        options: patience, factor and minimum.
        higher_is_better: True for metrics such as accuracy, False for losses.
    """

    def __init__(self, learning_rate: float, options: ScheduleOptions, *, higher_is_better: bool) -> None:
        self._options, self._sign = options, 1 if higher_is_better else -1
        self._minimum = learning_rate * options.minimum_rate_fraction
        self._rate, self._best, self._waited = learning_rate, -math.inf, 0

    def update(self, figure: float) -> float | None:
        """Update with the finite metric of an epoch; return the new learning rate, or None if it is unchanged."""
        if self._sign * figure > self._best + self._options.plateau_minimum_change:
            self._best, self._waited = self._sign * figure, 0
            return None
        self._waited += 1
        if self._waited < self._options.plateau_patience_epochs or self._rate <= self._minimum:
            return None
        self._rate, self._waited = max(self._rate * self._options.plateau_factor, self._minimum), 0
        return self._rate

    def state(self) -> dict[str, float | None]:
        """Return the state for a checkpoint, as JSON."""
        # JSON has no infinity.
        best = self._best if math.isfinite(self._best) else None
        return {"learning_rate": self._rate, "best": best, "waited_epochs": self._waited}

    def restore(self, state: Mapping[str, float | None]) -> None:
        """Restore what `state` returned."""
        best = state["best"]
        self._best = -math.inf if best is None else best
        self._rate, self._waited = float(state["learning_rate"] or 0), int(state["waited_epochs"] or 0)
