"""Learning-rate schedule with a linear warm-up and a lower bound."""

import keras  # noqa: TID253 - a Keras schedule; only functions import this module


class WarmupWithFloor(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc] # Keras has no types
    """A Keras schedule with a linear warm-up and a lower bound.

    Args:
        schedule: the wrapped schedule; it also advances during the warm-up.
        minimum: lower bound of the rate, except during the warm-up.
        warmup_steps: step k, counted from 0, has `(k + 1) / warmup_steps` of the rate, up to 1; 0: no warm-up.
    """

    def __init__(
        self, schedule: keras.optimizers.schedules.LearningRateSchedule, minimum: float, warmup_steps: int
    ) -> None:
        super().__init__()
        self.schedule, self.minimum, self.warmup_steps = schedule, minimum, warmup_steps

    def __call__(self, step: keras.KerasTensor | int) -> keras.KerasTensor:
        """Return the rate of a step as a float32 scalar."""
        rate = keras.ops.maximum(self.schedule(step), self.minimum)
        share = (keras.ops.cast(step, "float32") + 1) / max(1, self.warmup_steps)
        return rate * keras.ops.minimum(share, 1.0)
