"""A learning rate held within bounds: a warm-up before, and a minimum after."""

from typing import Any, Self

import keras  # noqa: TID253 - a Keras schedule; only functions import this module


@keras.saving.register_keras_serializable("tilepipe")
class Bounded(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc] # Keras has no types
    """Any schedule of Keras, with a linear warm-up over it and a floor under it.

    Args:
        schedule: gives the rate for a step, counted from 0; it goes on meanwhile as if there were no warm-up.
        minimum: the rate does not sink below this, but for the warm-up.
        warmup_steps: step k has `(k + 1) / warmup_steps` of the rate, until that is 1; 0 for none.
    """

    def __init__(
        self, schedule: keras.optimizers.schedules.LearningRateSchedule, minimum: float, warmup_steps: int
    ) -> None:
        super().__init__()
        self.schedule, self.minimum, self.warmup_steps = schedule, minimum, warmup_steps

    def __call__(self, step: keras.KerasTensor | int) -> keras.KerasTensor:
        """The rate of a step, float32, a scalar."""
        rate = keras.ops.maximum(self.schedule(step), self.minimum)
        share = (keras.ops.cast(step, "float32") + 1) / max(1, self.warmup_steps)
        return rate * keras.ops.minimum(share, 1.0)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` takes."""
        schedule = keras.optimizers.schedules.serialize(self.schedule)
        return {"schedule": schedule, "minimum": self.minimum, "warmup_steps": self.warmup_steps}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The same schedule again."""
        return cls(**config | {"schedule": keras.optimizers.schedules.deserialize(config["schedule"])})
