"""What parameters of a sweep explain."""

import math

import pytest

from tests.support.sweeping import made_up
from tilepipe.components.select.importance import effects


def found(rows, **settings):
    outcomes = [made_up(index, parameters, [value], **settings) for index, (parameters, value) in enumerate(rows)]
    return {effect.name: effect for effect in effects(outcomes)}


def test_the_parameter_that_matters_explains_most():
    noise = [0.0, 0.01, 0.01, 0.0, 0.01, 0.0, 0.0, 0.01]
    rows = [
        ({"train_optimizer": optimizer, "seed": seed}, value + extra)
        for (optimizer, seed, value), extra in zip(
            [(one, seed, value) for one, value in (("adam", 0.9), ("sgd", 0.5)) for seed in (1, 2, 1, 2)],
            noise,
            strict=True,
        )
    ]
    effect = found(rows)
    assert list(effect) == ["train_optimizer", "seed"]
    assert effect["train_optimizer"].share > 0.99
    assert effect["seed"].share == 0  # adjusted: chance alone would explain as much
    adam, sgd = effect["train_optimizer"].values
    assert (adam.value, adam.candidates, sgd.best) == ("adam", 4, pytest.approx(0.51))
    assert adam.mean == pytest.approx(0.905)


def test_drawn_numbers_are_measured_by_their_rank():
    rows = [({"train_learning_rate": 10.0**-number}, 0.9 - 0.1 * number) for number in range(6)]
    (effect,) = found(rows).values()
    assert effect.share == pytest.approx(1)
    assert effect.values == ()


def test_each_value_once_says_nothing():
    rows = [({"model_architecture": name}, value) for name, value in zip("abcd", (0.1, 0.5, 0.2, 0.9), strict=True)]
    assert math.isnan(found(rows)["model_architecture"].share)


def test_equal_figures_are_explained_by_nothing():
    rows = [({"seed": seed, "train_learning_rate": 0.1 * number}, 0.5) for number, seed in enumerate([1, 1, 2, 2])]
    assert [effect.share for effect in found(rows).values()] == [0, 0]


def test_equal_figures_whose_mean_is_rounded_are_explained_by_nothing_either():
    rows = [({"seed": number % 3, "train_optimizer": ("adam", "sgd")[number % 2]}, 0.7) for number in range(6)]
    assert [effect.share for effect in found(rows).values()] == [0, 0]  # six times 0.7 has another mean than twice 0.7


def test_a_parameter_that_some_leave_out_has_its_default_there():
    rows = [({"model_options.width": 2}, 0.9)] * 2 + [({"seed": 1}, 0.5)] * 2
    assert [one.value for one in found(rows)["model_options.width"].values] == ["2", "default"]


def test_only_finished_candidates_count_and_three_are_too_few():
    outcomes = [made_up(number, {"seed": number % 2}, [0.5]) for number in range(3)]
    outcomes += [made_up(number, {"seed": 7}, [0.1], status="stopped") for number in range(3, 9)]
    assert effects(outcomes) == []
