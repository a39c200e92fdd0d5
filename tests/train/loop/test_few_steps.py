"""Warnings of settings that need more training steps than there are."""

import json
import logging

import numpy as np
import pytest

from tests.support.loops import make_model
from tilepipe.components.train.config import TrainConfig


@pytest.fixture(scope="module")
def model():
    return make_model()  # its batch normalization has the momentum 0.5


@pytest.fixture
def warned(model, caplog):
    """Function that returns the warnings of a training."""
    from tilepipe.components.train.loop.few_steps import warn_of_few_steps

    def run(steps_per_epoch, epochs=2, **options):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            warn_of_few_steps(TrainConfig.parse(epochs=epochs, options=options), model, steps_per_epoch)
        return [record.getMessage() for record in caplog.records]

    return run


def test_nothing_is_said_where_the_averages_have_time_to_fade(warned):
    assert warned(50, ema_momentum=0.97) == []
    assert warned(1500, ema_momentum=0.999) == []
    assert warned(3, epochs=20, early_stopping_patience_epochs=3) == []


def test_averages_that_keep_their_start(warned):
    (said,) = warned(7, ema_momentum=0.99)
    assert "too high for 14 steps: 87 % of the averaged weights" in said
    assert "which needs 299 steps" in said
    lower = float(said.partition("Use options.ema_momentum=")[2].partition(" ")[0])
    assert lower > 0.75
    assert lower**14 <= 0.05
    assert "for 7 steps" in warned(7, ema_momentum=0.9, head_epochs=1)[0], "each phase has its own averages"


def test_running_statistics_that_keep_their_start(warned, model):
    (said,) = warned(2)
    assert "6 % of its running statistics" in said
    assert "after 4 steps. Its momentum is 0.5, which needs 5 steps" in said
    lower = json.loads(said.partition("model_options='")[2].partition("'")[0])["batch_norm_momentum"]
    assert lower**4 <= 0.05
    norm = model.get_layer("backbone").get_layer("normalized")
    norm.moving_mean.assign(np.ones(3))  # as in pretrained weights
    assert warned(2) == []
    norm.moving_mean.assign(np.zeros(3))


def test_early_stopping_that_cannot_happen(warned):
    (said,) = warned(50, epochs=5, early_stopping_patience_epochs=5)
    assert "early stopping has no effect" in said
