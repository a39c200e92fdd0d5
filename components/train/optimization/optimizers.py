"""How a training follows the gradient: Keras' optimizers, and averages of the weights that they leave behind."""

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
    """An optimizer's numbers beside the learning rate. Where None is given, the optimizer's own is meant."""

    momentum: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="Share of the last step's direction that goes into the next: momentum of sgd (0.9) and rmsprop "
        "(0), beta_1 of adam and adamw (0.9)",
    )
    second_momentum: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="The same for squared gradients: beta_2 of adam and adamw (0.999), rho of rmsprop (0.9)",
    )
    epsilon: float = Field(
        default=_EPSILON, gt=0, le=1, description="Keeps adam, adamw and rmsprop from dividing by nothing"
    )
    weight_decay: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="Each step takes this times the learning rate off the weights, biases and normalisation spared, "
        "apart from the gradient, in any optimizer; adamw's own is 0.004, the others' 0",
    )
    gradient_clip_norm: float = Field(
        default=0.0, ge=0, description="Shorten the gradient of all weights together to this length; 0 never does"
    )
    gradient_clip_value: float = Field(
        default=0.0, ge=0, description="Cut each number of the gradient to this size; 0 never does"
    )
    ema_momentum: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Validate and keep an exponential moving average of the weights, with this share of the old "
        "average in the new at each step, such as 0.999; 0 keeps the weights themselves",
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
    """Refuse numbers that the optimizer has no use for.

    Args:
        name: which optimizer.
        options: its numbers.

    Raises:
        ParameterError: sgd was given an epsilon or a momentum of squared gradients.
    """
    given = {"second_momentum": options.second_momentum is not None, "epsilon": options.epsilon != _EPSILON}
    useless = [option for option, is_given in given.items() if is_given]
    if name == "sgd" and useless:
        raise ParameterError(
            "sgd divides by no squared gradients: `second_momentum` and `epsilon` must be left out with it. Received: "
            f"optimizer='sgd' with {', '.join(f'{option}={getattr(options, option):g}' for option in useless)}. "
            "Leave that out, or use another optimizer."
        )


def make_optimizer(
    name: Optimizer,
    rate: "float | keras.optimizers.schedules.LearningRateSchedule",
    options: OptimizerOptions,
    *,
    replicas: int = 1,
) -> "keras.Optimizer":
    """Make an optimizer, not built yet.

    adam and adamw are one and the same in Keras but for the weight decay that they start from: whichever optimizer
    is given a weight decay applies it apart from the gradient (https://arxiv.org/abs/1711.05101).

    Args:
        name: which optimizer.
        rate: the learning rate, or a schedule of it.
        options: the other numbers.
        replicas: how many devices share a batch. Keras clips what each of them has, its share of the gradient, before
            it adds them up; so each may keep but its share of the clipping's limit.

    Returns:
        The optimizer. Given a float, its `learning_rate` is a variable that can be set and is among its `variables`,
        as are all it keeps from step to step.

    Raises:
        ParameterError: sgd was given an epsilon or a momentum of squared gradients.
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
        "ema_overwrite_frequency": None,  # `averaged_weights` lends them; the training goes on with its own
        "weight_decay": decay or None,  # None costs nothing a step, unlike 0
    }
    moments = {"beta_1": momentum, "beta_2": second, "epsilon": options.epsilon}
    optimizer: keras.Optimizer
    match name:
        case "adam":
            optimizer = keras.optimizers.Adam(**common, **moments)
        case "adamw":
            optimizer = keras.optimizers.AdamW(**common | moments | {"weight_decay": decay})  # it refuses None
        case "sgd":
            optimizer = keras.optimizers.SGD(**common, momentum=momentum)
        case "rmsprop":
            optimizer = keras.optimizers.RMSprop(**common, momentum=momentum, rho=second, epsilon=options.epsilon)
    optimizer.exclude_from_weight_decay(var_names=[_NEVER_DECAYED])
    return optimizer


@contextlib.contextmanager
def averaged_weights(model: "keras.Model") -> Iterator[None]:
    """Lend a model the averages of its weights, as `keep_averages` gives them; then give its own back, bit for bit.

    Args:
        model: as for `keep_averages`.

    Yields:
        Nothing; the model is changed meanwhile, and must not be trained.
    """
    if not has_averages(model):
        yield
        return
    own = [(variable, variable.numpy()) for variable in model.trainable_variables]
    keep_averages(model)
    try:
        yield
    finally:
        for variable, value in own:
            variable.assign(value)


def keep_averages(model: "keras.Model") -> None:
    """Give a model the moving averages of its weights for good.

    Keras' average starts as the weights after the first step, so it is not drawn to zero, but that start fades only
    as `ema_momentum ** steps`: it takes about `3 / (1 - ema_momentum)` steps until 95 % of it is gone. Only what is
    trained is averaged: the statistics of batch normalisation stay those of the model's own weights (`averages.py`
    measures others).

    Args:
        model: compiled with an optimizer of `make_optimizer`, alone or wrapped for mixed precision. Without averages,
            and before the first step, when there are none yet, it stays as it is.
    """
    if has_averages(model):
        model.optimizer.finalize_variable_values(model.trainable_variables)


def has_averages(model: "keras.Model") -> bool:
    """Whether there are moving averages of a model's weights: not without `ema_momentum`, nor before the first step."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    return bool(optimizer.use_ema and optimizer.built and optimizer.iterations.numpy())
