"""Search spaces and the candidates drawn from them."""

import pytest

from tilepipe.components.propose.space import candidates
from tilepipe.components.shared.errors import ParameterError


def drawn(space, search="grid", most=20, seed=0):
    return [candidate.parameters for candidate in candidates(space, search=search, most=most, seed=seed)]


def test_a_grid_has_all_combinations_in_order_and_repetitions_with_their_own_index():
    space = {"train_learning_rate": [0.1, 0.01], "seed": [7, 7]}
    assert drawn(space) == [
        {"train_learning_rate": 0.1, "seed": 7},
        {"train_learning_rate": 0.1, "seed": 7},
        {"train_learning_rate": 0.01, "seed": 7},
        {"train_learning_rate": 0.01, "seed": 7},
    ]
    assert [one.index for one in candidates(space, search="grid", most=4, seed=0)] == [0, 1, 2, 3]


def test_values_that_belong_together_are_one_choice():
    space = {
        "together": [
            {"model_architecture": "compact", "model_options.width": 2},
            {"model_architecture": "cnn"},
        ],
        "together_loss": [{"train_options.loss": "focal", "train_options.focal_gamma": 1}],
        "seed": [1],
    }
    rest = {"train_options.loss": "focal", "train_options.focal_gamma": 1, "seed": 1}
    assert drawn(space) == [
        {"model_architecture": "compact", "model_options.width": 2, **rest},
        {"model_architecture": "cnn", **rest},
    ]


def test_a_random_search_is_reproducible_within_its_ranges_and_without_repetitions():
    space = {
        "train_learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
        "train_batch_size": {"low": 8.0, "high": 64.0},  # as KFP sends whole numbers
        "train_options.schedule": ["constant", "cosine"],
    }
    found = drawn(space, "random", 40)
    assert found == drawn(space, "random", 40)
    assert found != drawn(space, "random", 40, seed=1)
    assert len({str(one) for one in found}) == 40
    rates = [one["train_learning_rate"] for one in found]
    assert all(1e-4 <= rate <= 1e-1 for rate in rates)
    assert sum(rate < 0.0316 for rate in rates) > 24  # of 40, five sixths; uniform draws would be a third
    assert all(isinstance(one["train_batch_size"], int) and 8 <= one["train_batch_size"] <= 64 for one in found)
    assert {one["train_options.schedule"] for one in found} == {"constant", "cosine"}


def test_whole_numbers_are_whole_again():
    assert drawn({"train_batch_size": [16.0], "model_options.head_units": [[128.0, 64.0]]}) == [
        {"train_batch_size": 16, "model_options.head_units": [128, 64]}
    ]


def test_numbers_that_yaml_leaves_as_text_are_numbers():
    together = [{"train_batch_size": "8", "train_optimizer": "sgd"}]
    assert drawn({"train_learning_rate": ["1e-3", 0.01], "together": together}) == [
        {"train_learning_rate": rate, "train_batch_size": 8, "train_optimizer": "sgd"} for rate in (0.001, 0.01)
    ]
    rates = {"train_learning_rate": {"low": "1e-4", "high": "1e-2", "log": True}}
    assert all(0.0001 <= one["train_learning_rate"] <= 0.01 for one in drawn(rates, "random"))


REFUSED = {
    "empty": ({}, "at least one parameter"),
    "no values": ({"seed": []}, r"a list of values, or a range.*{'seed': \[\]}"),
    "a single value": ({"seed": 3}, r"Received: tune_space={'seed': 3}. Give for example tune_space={'seed': \[3\]}"),
    "unknown": ({"train_learning_rat": [1]}, r"Did you mean train_learning_rate\?"),
    "unknown option": ({"train_options.scheduel": ["cosine"]}, r"Did you mean train_options.schedule\?"),
    "an option without its struct": ({"schedule": ["cosine"]}, r"Did you mean train_options.schedule\?"),
    "a parameter of the data": ({"data_bands": [["B02"]]}, "parameters of the model and the training"),
    "the metric": ({"train_options.best_metric": ["val_loss"]}, "Give `tune_metric` instead"),
    "the metric in a struct": ({"train_options": [{}, {"best_metric": "val_loss"}]}, "Give `tune_metric` instead"),
    "the metric together": (
        {"together": [{"seed": 1, "train_options": {"best_metric": "val_loss"}}]},
        "Give `tune_metric` instead",
    ),
    "a range of a grid": ({"train_learning_rate": {"low": 0.1, "high": 1}}, "A grid needs a list"),
    "twice": (
        {"train_options": [{"schedule": "cosine"}], "train_options.schedule": ["constant"]},
        "Each parameter must be in `tune_space` once",
    ),
    "twice, together": ({"together": [{"seed": 1}], "seed": [2]}, "Each parameter must be in `tune_space` once"),
    "nothing together": ({"together": [{}]}, "`together` must be a list of choices"),
    "null": ({"model_options.batch_norm_momentum": [0.9, None]}, "must not be null"),
    "too large": ({"seed": [1, 2, 3, 4, 5], "train_epochs": [1, 2, 3, 4, 5]}, "5 x 5 = 25 candidates"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_spaces_are_refused(case):
    space, said = REFUSED[case]
    with pytest.raises(ParameterError, match=said):
        drawn(space)


RANGES = {
    "exchanged": ({"low": 1, "high": 0.1}, "`low` must be less than `high`"),
    "a logarithm of zero": ({"low": 0, "high": 1, "log": True}, "above 0 with `log`"),
    "half": ({"low": 0.1}, "must have the numbers `low` and `high`"),
    "another key": ({"low": 0.1, "high": 1, "step": 2}, "must have the numbers"),
    "no numbers": ({"low": "a", "high": "b"}, "must have the numbers"),
}


@pytest.mark.parametrize("case", RANGES)
def test_contradictory_ranges_are_refused(case):
    values, said = RANGES[case]
    with pytest.raises(ParameterError, match=said):
        drawn({"train_learning_rate": values}, "random")


def test_a_range_of_a_parameter_that_is_no_number_is_refused():
    with pytest.raises(ParameterError, match="a parameter that is a number"):
        drawn({"train_optimizer": {"low": 1, "high": 2}}, "random")


@pytest.mark.parametrize("high", [1.8, 3.6])
def test_a_range_of_whole_numbers_has_whole_ends(high):
    """Nothing between 1.2 and 1.8 is whole, and 3.6 would be drawn as 4."""
    with pytest.raises(ParameterError, match=r"must have whole ends.*Give for example .*'low': 2, 'high': 3"):
        drawn({"train_epochs": {"low": 1.2, "high": high}}, "random")
    assert len(drawn({"train_epochs": {"low": 1.0, "high": 3.0}}, "random", most=3)) == 3


def test_a_random_search_over_too_few_candidates_is_refused():
    with pytest.raises(ParameterError, match=r"tune_candidates=3, and a space in which 2 were found"):
        drawn({"seed": [1, 2]}, "random", 3)
