"""Keras optimizers and the moving averages of the weights that they keep."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.shared.runtime.config import StepConfig

if TYPE_CHECKING:
    import keras

Optimizer = Literal["adam", "adamw", "sgd", "rmsprop"]

_MOMENTUM: dict[Optimizer, float] = {"adam": 0.9, "adamw": 0.9, "sgd": 0.9, "rmsprop": 0.0}
_SECOND_MOMENTUM: dict[Optimizer, float] = {"adam": 0.999, "adamw": 0.999, "rmsprop": 0.9}
_EPSILON = 1e-7
_WEIGHT_DECAY: dict[Optimizer, float] = {"adam": 0.0, "adamw": 0.004, "sgd": 0.0, "rmsprop": 0.0}
# With TensorFlow these are looked for in paths such as `network/beta_layer/kernel:0`, elsewhere in `kernel`.
_NEVER_DECAYED = r"(^|/)(bias|gamma|beta)(:\d+)?$"


class OptimizerOptions(StepConfig):
    """Parameters of the optimizer besides the learning rate. None selects the default of the optimizer."""

    momentum: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="Momentum of sgd (default: 0.9) and rmsprop (default: 0); beta_1 of adam and adamw (default: 0.9)",
    )
    second_momentum: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="Decay of the squared gradients: beta_2 of adam and adamw (default: 0.999), rho of rmsprop "
        "(default: 0.9)",
    )
    epsilon: float = Field(
        default=_EPSILON, gt=0, le=1, description="Small constant in the denominator of adam, adamw and rmsprop"
    )
    weight_decay: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="Decoupled weight decay; not applied to biases and normalization layers. Default: 0.004 for adamw, "
        "else 0",
    )
    gradient_clip_norm: float = Field(
        default=0.0, ge=0, description="Clip the global norm of the gradient to this value; 0 disables clipping"
    )
    gradient_clip_value: float = Field(
        default=0.0, ge=0, description="Clip each element of the gradient to this absolute value; 0 disables clipping"
    )
    ema_momentum: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Momentum of the exponential moving average of the weights that is validated and kept, such as "
        "0.999; 0 disables averaging",
    )

    @model_validator(mode="after")
    def _optimizer_agrees(self) -> Self:
        if self.gradient_clip_norm and self.gradient_clip_value:
            raise ValueError(
                "Only one of `gradient_clip_norm` and `gradient_clip_value` must be above 0. Received: "
                f"gradient_clip_norm={self.gradient_clip_norm:g} and gradient_clip_value={self.gradient_clip_value:g}. "
                "Leave one of them out."
            )
        return self


def check_optimizer(name: Optimizer, options: OptimizerOptions) -> None:
    """Check that the optimizer uses the given options.

    Raises:
        ParameterError: sgd was given `epsilon` or `second_momentum`.
    """
    given = {"second_momentum": options.second_momentum is not None, "epsilon": options.epsilon != _EPSILON}
    useless = [option for option, is_given in given.items() if is_given]
    if name == "sgd" and useless:
        raise ParameterError(
            "sgd keeps no squared gradients: `second_momentum` and `epsilon` must be left out with it. Received: "
            f"optimizer='sgd' with {', '.join(f'{option}={getattr(options, option):g}' for option in useless)}. "
            "Remove these options, or use another optimizer."
        )


def make_optimizer(
    name: Optimizer,
    rate: "float | keras.optimizers.schedules.LearningRateSchedule",
    options: OptimizerOptions,
    *,
    replicas: int = 1,
) -> "keras.Optimizer":
    """Create an optimizer, not yet built.

    In Keras, adam and adamw differ only in their default weight decay: every optimizer decouples weight decay from the
    gradient (https://arxiv.org/abs/1711.05101).

    Args:
        name: the optimizer.
        rate: the learning rate, or a schedule.
        options: the other parameters.
        replicas: number of devices that share a batch. Keras clips the gradient of each replica before summing, so
            the clipping limit is divided by the number of replicas.

    Returns:
        The optimizer. For a float `rate`, its `learning_rate` is a variable that can be assigned. Its `variables` hold
        all of its state.

    Raises:
        ParameterError: sgd was given `epsilon` or `second_momentum`.
    """
    import keras

    check_optimizer(name, options)
    momentum = _MOMENTUM[name] if options.momentum is None else options.momentum
    second = _SECOND_MOMENTUM.get(name) if options.second_momentum is None else options.second_momentum
    decay = _WEIGHT_DECAY[name] if options.weight_decay is None else options.weight_decay
    common: dict[str, Any] = {
        "learning_rate": rate,
        "global_clipnorm": options.gradient_clip_norm / replicas or None,
        "clipvalue": options.gradient_clip_value / replicas or None,
        "use_ema": options.ema_momentum > 0,
        "ema_momentum": options.ema_momentum,
        "ema_overwrite_frequency": None,  # `averaged_weights` applies them; the training keeps its own
        "weight_decay": decay or None,  # unlike 0, None costs nothing per step
    }
    moments = {"beta_1": momentum, "beta_2": second, "epsilon": options.epsilon}
    optimizer: keras.Optimizer
    match name:
        case "adam":
            optimizer = keras.optimizers.Adam(**common, **moments)
        case "adamw":
            optimizer = keras.optimizers.AdamW(**common | moments | {"weight_decay": decay})  # AdamW rejects None
        case "sgd":
            optimizer = keras.optimizers.SGD(**common, momentum=momentum)
        case "rmsprop":
            optimizer = keras.optimizers.RMSprop(**common, momentum=momentum, rho=second, epsilon=options.epsilon)
    optimizer.exclude_from_weight_decay(var_names=[_NEVER_DECAYED])
    return optimizer


@contextlib.contextmanager
def averaged_weights(model: "keras.Model") -> Iterator[bool]:
    """Replace the weights of a model by their moving averages within a context, and restore the model exactly after it.

    The model must not be trained within the context; statistics of its layers may change.

    Yields:
        True if there are averages.
    """
    # Includes the seeds of dropout, so that computing statistics does not change the next step.
    own = [(variable, variable.numpy()) for variable in model.variables] if _has_averages(model) else []
    try:
        yield keep_averages(model)
    finally:
        for variable, value in own:
            variable.assign(value)


def keep_averages(model: "keras.Model") -> bool:
    """Replace the weights of a model by their moving averages, and return whether there are any.

    Keras initializes the average with the weights after the first step, so it is not biased towards zero, but that
    start fades only as `ema_momentum ** steps`: after about `3 / (1 - ema_momentum)` steps 95 % of it is gone. Only
    trainable variables are averaged; the statistics of batch normalization still belong to the original weights
    (`loop/ema.py` recomputes them).

    Args:
        model: compiled with an optimizer of `make_optimizer`, optionally wrapped for mixed precision. It is unchanged
            if the optimizer keeps no averages, or before the first step.
    """
    is_averaged = _has_averages(model)
    if is_averaged:
        model.optimizer.finalize_variable_values(model.trainable_variables)
    return is_averaged


def _has_averages(model: "keras.Model") -> bool:
    """Return whether the optimizer has moving averages: not without `ema_momentum`, nor before the first step."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    return bool(optimizer.use_ema and optimizer.built and optimizer.iterations.numpy())
