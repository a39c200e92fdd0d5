"""Candidates that Optuna chooses by the results of earlier ones."""

import math

import pytest

from tests.support.sweeping import made_up
from tilepipe.components.propose.config import ProposeConfig
from tilepipe.components.shared.contracts.candidates import Share
from tilepipe.components.tune.study import choose

SPACE = {
    "train_learning_rate": {"low": 0.0001, "high": 0.1, "log": True},
    "model_options.dense_units": {"low": 4, "high": 64},
    "together": [{"train_optimizer": "sgd"}, {"train_optimizer": "adam", "train_options.weight_decay": 0.01}, {}],
}


def study_of(space=SPACE, **more):
    (share,) = ProposeConfig.parse(
        tune_space=space, **{"tune_search": "tpe", "tune_candidates": 30, "tune_options": {}, **more}
    ).shares()
    return Share.model_validate_json(share).study


def search(study, value_of, metric="val_accuracy", **kinds):
    """Choose all candidates of a study one after another; `value_of` gives each its metric."""
    known, outcomes = {}, {}
    for index in study.indices:
        known[index] = choose(study, index, known, outcomes, metric)
        outcomes[index] = value_of(index, known[index].parameters)
    return outcomes


def best_rate(index, parameters):
    """Return an outcome that is the better, the nearer the learning rate is to 0.003."""
    distance = abs(math.log10(parameters["train_learning_rate"] / 0.003))
    return made_up(index, parameters, [1 - distance / 2])


def test_later_candidates_are_nearer_to_the_best_ones_and_the_seed_decides():
    found = search(study_of(), best_rate)
    values = [found[index].value for index in range(30)]
    assert sum(values[20:]) / 10 > sum(values[:10]) / 10 + 0.1
    assert max(values) > 0.95
    first = found[0].parameters
    assert found == search(study_of(), best_rate)
    assert first != search(study_of(seed=1, tune_candidates=1), best_rate)[0].parameters
    for one in found.values():
        assert 0.0001 <= one.parameters["train_learning_rate"] <= 0.1
        assert one.parameters["model_options.dense_units"] in range(4, 65)
        assert one.parameters.get("train_options.weight_decay", 0.01) == 0.01


def test_a_choice_is_the_same_after_a_restart():
    study = study_of(tune_candidates=14)
    found = search(study, best_rate)
    known = {index: one for index, one in found.items() if index < 13}
    again = choose(study, 13, dict(reversed(known.items())), known, "val_accuracy")
    assert again.parameters == found[13].parameters


@pytest.mark.parametrize("metric", ["val_accuracy", "val_loss"])
def test_candidates_without_a_value_never_count_as_good(metric):
    """Half of the range fails, has no such metric, or is not a number: the search ends up in the other half."""

    def value_of(index, parameters):
        if parameters["train_learning_rate"] > 0.003:
            return (
                made_up(index, parameters, [], status="failed", metric=metric),
                made_up(index, parameters, [math.nan], metric=metric),
            )[index % 2]
        return made_up(index, parameters, [0.5], metric=metric)

    rates = {"train_learning_rate": {"low": 0.0001, "high": 0.1, "log": True}}
    found = search(study_of(rates, tune_options={"startup_candidates": 5}), value_of, metric)
    assert sum(one.parameters["train_learning_rate"] < 0.003 for one in list(found.values())[10:]) > 12


def test_stopped_candidates_rank_behind_finished_ones():
    def value_of(index, parameters):
        good = parameters["train_learning_rate"] < 0.003
        return made_up(index, parameters, [0.6] * 2 if good else [0.99], status="finished" if good else "stopped")

    rates = {"train_learning_rate": {"low": 0.0001, "high": 0.1, "log": True}}
    found = search(study_of(rates, tune_options={"startup_candidates": 5}), value_of)
    assert sum(one.parameters["train_learning_rate"] < 0.003 for one in list(found.values())[10:]) > 12


def test_no_candidate_is_chosen_twice_even_in_a_small_space():
    space = {"seed": [1, 2, 3, 4], "train_optimizer": ["adam", "sgd"]}
    study = study_of(space, tune_candidates=8, tune_options={"startup_candidates": 2})
    found = search(study, lambda index, parameters: made_up(index, parameters, [parameters["seed"] / 4]))
    assert len({str(sorted(one.parameters.items())) for one in found.values()}) == 8


def test_results_of_another_space_are_left_out():
    known = {
        0: made_up(0, {"train_learning_rate": 5.0}, [0.9]),
        1: made_up(1, {"train_learning_rate": 0.01, "train_batch_size": 8}, [0.9]),
        2: made_up(2, {"model_options.dense_units": 8}, [0.9]),
    }
    study = study_of(tune_options={"startup_candidates": 1}, tune_candidates=4)
    assert choose(study, 3, known, known, "val_accuracy") == choose(study, 3, {}, {}, "val_accuracy")
