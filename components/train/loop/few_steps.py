"""Warnings of settings that need more training steps than there are."""

import logging
import math

import keras  # noqa: TID253 - only functions import this module

from tilepipe.components.shared.layers.model_layers import trainable_norms
from tilepipe.components.train.config import TrainConfig
from tilepipe.components.train.optimization.schedules import phases

logger = logging.getLogger("tilepipe.train")

_LARGEST_SHARE = 0.05
"""Share of the initial values that averages may still hold at the end."""


def warn_of_few_steps(config: TrainConfig, model: keras.Model, steps_per_epoch: int) -> None:
    """Warn of averages that still hold much of the initial weights at the end, and of a patience without effect.

    Moving averages of the weights, and running statistics of batch normalization, start from the initial values and
    fade by their momentum in each step (`OptimizerOptions`).
    """
    options = config.options
    # Each phase has an optimizer of its own, and so new averages.
    phase = phases(config.epochs, config.learning_rate, options)[-1]
    steps = phase.epochs * steps_per_epoch
    share = options.ema_momentum**steps
    if options.ema_momentum and share > _LARGEST_SHARE:
        logger.warning(
            "`options.ema_momentum` is too high for %s steps: %.0f %% of the averaged weights that are validated and "
            "kept would still be the initial ones. Received: options.ema_momentum=%g, which needs %s steps. Use "
            "options.ema_momentum=%g or less, or more epochs.",
            f"{steps:,}",
            100 * share,
            options.ema_momentum,
            f"{_steps_to_fade(options.ema_momentum):,}",
            _momentum_for(steps),
        )
    momentum = _momentum_from_scratch(model)
    share = momentum ** (config.epochs * steps_per_epoch)
    if share > _LARGEST_SHARE:
        logger.warning(
            "batch normalization has too few steps: %.0f %% of its running statistics, which validation uses, would "
            "still be the initial ones after %s steps. Its momentum is %g, which needs %s steps. Use "
            "model_options='{\"batch_norm_momentum\": %g}' or less, more epochs, or a smaller batch_size.",
            100 * share,
            f"{config.epochs * steps_per_epoch:,}",
            momentum,
            f"{_steps_to_fade(momentum):,}",
            _momentum_for(config.epochs * steps_per_epoch),
        )
    patience = options.early_stopping_patience_epochs
    if patience and patience >= phase.epochs:
        logger.warning(
            "early stopping has no effect: options.early_stopping_patience_epochs=%d is no less than the %d epochs",
            patience,
            phase.epochs,
        )


def _momentum_from_scratch(model: keras.Model) -> float:
    """Return the highest momentum of batch normalization without statistics from an earlier training; 0 if none."""
    norms = trainable_norms(model)
    return max((float(one.momentum) for one in norms if not one.moving_mean.numpy().any()), default=0.0)


def _steps_to_fade(momentum: float) -> int:
    return math.ceil(math.log(_LARGEST_SHARE) / math.log(momentum))


def _momentum_for(steps: int) -> float:
    """Return the highest momentum that fades within a number of steps, rounded down to three digits."""
    return math.floor(1000 * math.pow(_LARGEST_SHARE, 1 / steps)) / 1000
