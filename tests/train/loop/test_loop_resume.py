"""A loop with the restored state of another ends with the same bytes, wherever that one stopped."""

import numpy as np
import pytest

from tests.support.loops import Ground, Look, make_model, same, timeless
from tilepipe.components.shared.errors import ArtifactError


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    return Ground.make(tmp_path_factory.mktemp("ground"))


def check_resumes(ground, places, **parameters):
    """Train undisturbed, and again from each of the states in between."""
    look = Look(places)
    history, weights, _ = ground.run(look, **parameters)
    assert set(look.states) == set(places)
    for place, state in look.states.items():
        resumed, others, _ = ground.run(start=state, **parameters)
        assert timeless(resumed) == timeless(history), place
        assert resumed.best_epoch == history.best_epoch, place
        assert same(others, weights), place
    return history


def test_in_each_of_two_phases_and_between_them(ground):
    options = {
        "head_epochs": 1,
        "schedule": "cosine",
        "best_metric": "val_balanced_accuracy",
        "class_weights": "balanced",
        "ema_momentum": 0.8,
    }
    places = ((0, 4), (1, 0), (1, 1))
    check_resumes(ground, places, epochs=2, optimizer="adamw", augmentation=["flip", "mixup"], options=options)


def test_with_a_rate_that_falls_on_a_plateau_and_an_early_end(ground):
    options = {
        "schedule": "reduce_on_plateau",
        "plateau_patience_epochs": 1,
        "plateau_minimum_change": 10,
        "early_stopping_patience_epochs": 2,
        "best_metric": "val_loss",
    }
    history = check_resumes(ground, ((3, 2), (3, 6)), epochs=40, learning_rate=0.5, optimizer="sgd", options=options)
    rates = [epoch["learning_rate"] for epoch in history.epochs]
    assert rates[3] < rates[2] < rates[1] == rates[0]
    assert len(rates) == history.best_epoch + 2 < 40


def test_with_several_steps_an_execution(ground):
    """Of the six steps per epoch, four are one execution, and the other two another."""
    options = {"steps_per_execution": 4}
    look = Look(((0, 4), (0, 6), (1, 4)))
    history, weights, _ = ground.run(look, options=options)
    assert len(look.states) == 3
    del look.states[0, 6]
    for state in look.states.values():
        assert same(ground.run(start=state, options=options)[1], weights)
    one_by_one, others, _ = ground.run()
    assert same(others, weights)
    assert timeless(one_by_one) == timeless(history)


def test_after_the_last_step_of_an_epoch_only_the_validation_is_left(ground):
    """Such an epoch took no time in this process, which must not cause a division by zero in the next one."""
    look = Look(((0, 6),))
    _, weights, _ = ground.run(look, epochs=2)
    resumed, others, received = ground.run(start=look.states[0, 6], epochs=2)
    assert resumed.epochs[0]["tiles_per_second"] == 0
    assert received.epochs == [1, 2]
    assert received.steps == [7, 8, 9, 10, 11, 12]
    assert same(others, weights)


def test_a_state_of_another_model_is_refused(ground):
    look = Look(((0, 2),))
    ground.run(look)
    with pytest.raises(ArtifactError, match="A checkpoint must match its model"):
        ground.run(start=look.states[0, 2], optimizer="sgd")
    other = make_model((4, 4, 2), 3, backbone=False)
    before = [np.copy(value) for value in other.get_weights()]
    broken = {**look.states[0, 2].arrays, "model/00000": np.zeros((9, 9), "float32")}
    state = type(look.states[0, 2])(broken, {}, look.states[0, 2].facts)
    with pytest.raises(ArtifactError, match=r"float32 \(9, 9\) for model/00000"):
        ground.run(start=state, model=other)
    assert same(other.get_weights(), before)
