"""Search spaces are checked by the rules of the steps, before anything is read."""

import itertools
import json

import pytest

from tilepipe.components.propose.config import ProposeConfig
from tilepipe.components.shared.contracts.candidates import Share
from tilepipe.components.shared.errors import ParameterError


def config(space, **more):
    return ProposeConfig.parse(tune_space=space, **more)


def test_shares_divide_all_candidates_and_interleave_the_grid():
    found = config(
        {"train_learning_rate": [0.1, 0.01], "seed": [1, 2, 3]},
        tune_workers=4,
        train_epochs=3.0,
        train_options={"schedule": "cosine"},
        tune_metric="val_macro_f1",
        tune_options={"rungs": [1, 2]},
    )
    shares = [Share.model_validate_json(text) for text in found.shares()]
    assert [[one.index for one in share.candidates] for share in shares] == [[0, 4], [1, 5], [2], [3]]
    assert shares[0].base == {
        "train_epochs": 3,
        "train_options": {"best_metric": "val_macro_f1", "schedule": "cosine"},
    }
    assert (shares[0].rungs, shares[0].metric) == ((1, 2), "val_macro_f1")
    assert len(set(found.shares())) == 4


@pytest.mark.parametrize("search", ["grid", "random"])
def test_the_candidates_do_not_depend_on_the_order_in_which_kfp_delivers_the_space(search):
    space = {"seed": [0, 1], "train_batch_size": [16, 32, 64], "model_architecture": ["cnn", "compact"]}
    orders = [dict(order) for order in itertools.permutations(space.items())]
    found = {tuple(config(order, tune_search=search, tune_candidates=12).shares()) for order in orders}
    assert len(found) == 1


def test_the_metric_of_the_sweep_may_be_repeated_as_that_of_the_training():
    found = config({"seed": [1]}, train_options={"best_metric": "val_loss"}, tune_metric="val_loss")
    assert found.base() == {"train_options": {"best_metric": "val_loss"}}


def test_workers_of_a_tpe_search_have_the_space_and_their_indices():
    space = {"train_learning_rate": {"low": 0.001, "high": 1.0}, "train_batch_size": [8.0, 16.0]}
    found = config(
        space, tune_search="tpe", tune_candidates=5, tune_workers=2, tune_options={"study_uri": "s3://bucket/s"}
    )
    shares = [Share.model_validate_json(text) for text in found.shares()]
    assert [share.study.indices for share in shares] == [(0, 2, 4), (1, 3)]
    assert {(share.study.candidates, share.study_uri, share.candidates) for share in shares} == {
        (5, "s3://bucket/s", ())
    }
    assert shares[0].study.space == {"train_learning_rate": {"low": 0.001, "high": 1}, "train_batch_size": [8, 16]}


def test_no_worker_is_without_a_candidate():
    assert len(config({"seed": [1, 2]}, tune_workers=9).shares()) == 2


def test_equal_arguments_give_equal_items_so_that_finished_workers_come_from_the_cache():
    space = {"train_learning_rate": {"low": 0.001, "high": 0.1}}
    more = {"tune_search": "random", "tune_candidates": 5}
    assert config(space, **more).shares() == config(space, **more).shares()


REFUSED = {
    "an invalid end of a range that TPE has": (
        {"model_options.dropout": {"low": 0.1, "high": 1.5}},
        {"tune_search": "tpe", "tune_candidates": 1},
        r"`model_options.dropout` should be less than 1(.|\n)*model_options.dropout=1.5",
    ),
    "an invalid value that TPE may choose": (
        {"train_batch_size": [*range(1, 30), -1]},
        {"tune_search": "tpe", "tune_candidates": 1},
        "train_batch_size=-1",
    ),
    "fewer values than TPE needs": (
        {"seed": [1, 2]},
        {"tune_search": "tpe", "tune_candidates": 3},
        "needs as many different candidates as `tune_candidates`. Received: tune_candidates=3, and a space in which 2",
    ),
    "a study that is no place": (
        {"seed": [1, 2]},
        {"tune_options": {"study_uri": "https://example.org/study"}},
        "`study_uri` must be a local folder or s3://bucket/prefix",
    ),
    "a value out of range": ({"train_learning_rate": [0.1, -1]}, {}, r"`train_learning_rate` should be greater than 0"),
    "an option out of range": ({"model_options.dropout": [2]}, {}, r"`model_options.dropout` should be less than 1"),
    "a contradiction between values": (
        {"model_architecture": ["compact", "cnn"], "model_options.width": [2]},
        {},
        r"`width` is a setting of compact(.|\n)*model_architecture=cnn, model_options.width=2",
    ),
    "a contradiction with the rest": (
        {"model_options.kernel_size": [3, 5]},
        {"model_architecture": "compact"},
        "`kernel_size` is a setting of cnn",
    ),
    "an unknown option in a struct": (
        {"train_options": [{"scheduel": "cosine"}]},
        {},
        "Did you mean train_options.sch",
    ),
    "another metric": (
        {"seed": [1]},
        {"train_options": {"best_metric": "val_loss"}, "tune_metric": "val_macro_f1"},
        "best_metric='val_loss' with tune_metric='val_macro_f1'. Give tune_metric=val_loss instead",
    ),
    "a parameter of all": ({"seed": [1]}, {"train_epochs": 0}, "`train_epochs` should be greater than or equal to 1"),
    "no space": ({}, {}, "`tune_space` must have at least one parameter"),
    "rungs": ({"seed": [1]}, {"tune_options": {"rungs": [3, 2]}}, "in ascending order"),
    "a refit without figures": (
        {"train_options.schedule": ["cosine", "reduce_on_plateau"]},
        {"tune_refit": True},
        "in a candidate: train_options.schedule=reduce_on_plateau",
    ),
    "too long": (
        {"model_weights_uri": [f"s3://bucket/{'x' * 900}{number}.npz" for number in range(100)]},
        {"tune_candidates": 100, "model_architecture": "efficientnet_lite0"},
        "must fit into 60,000 characters",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_spaces_are_refused_with_the_names_of_the_pipeline(case):
    space, more, said = REFUSED[case]
    with pytest.raises(ParameterError, match=said):
        config(space, **more)


def test_items_stay_small():
    space = {"train_learning_rate": [0.1, 0.01], "model_options": [{"indices": ["NDVI"]}, {"dropout": 0.1}]}
    (item,) = config(space).shares()
    assert len(json.loads(item)["candidates"]) == 4
    assert len(item) < 1000
