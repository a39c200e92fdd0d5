"""Search spaces that cannot be used end the step with exit code 2 and one message."""

import pytest
from kfp import dsl

from tests.propose.test_propose import SPLITS
from tests.support.packed import manifest_for
from tilepipe.components.propose.component import propose_candidates

BAD = {
    "empty": ({}, {}, "`tune_space` must have at least one parameter"),
    "without values": ({"seed": []}, {}, "must have a list of values, or a range, for each parameter"),
    "of unknown parameters": ({"learning_rate": [1]}, {}, "Did you mean train_learning_rate?"),
    "contradictory": (
        {"model_options.dropout": [0.1], "model_options": [{"dropout": 0.2}]},
        {},
        "Each parameter must be in `tune_space` once",
    ),
    "invalid together": (
        {"model_architecture": ["compact", "cnn"], "model_options.width": [2]},
        {},
        "This is a candidate of `tune_space`: model_architecture=cnn",
    ),
    "a range in reverse": (
        {"seed": {"low": 9, "high": 1}},
        {"tune_search": "random"},
        "Exchange them: tune_space={'seed': {'high': 9, 'low': 1}}.",
    ),
    "with rungs that no candidate reaches": (
        {"seed": [1, 2]},
        {"train_epochs": 9, "tune_options": {"rungs": [2, 9]}},
        "rungs=[2, 9] with train_epochs=9. Give for example rungs=[3]",
    ),
    "larger than the bound": (
        {"seed": list(range(30)), "train_batch_size": [8, 16]},
        {},
        "30 x 2 = 60 candidates with tune_candidates=20",
    ),
    "with more candidates than allowed": ({"seed": [1]}, {"tune_candidates": 1000}, "less than or equal to 200"),
    "smaller than the search": (
        {"seed": [1, 2]},
        {"tune_search": "tpe", "tune_candidates": 3},
        "in which 2 were found",
    ),
    "with a metric that no candidate has": ({"seed": [1]}, {"tune_metric": "val_kappa"}, "tune_metric='val_kappa'"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_search_space(tmp_path, monkeypatch, termination_log, case):
    space, more, said = BAD[case]
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    manifest_for(classes=("a", "b"), splits=SPLITS).write(tmp_path / "manifest.json")
    with pytest.raises(SystemExit) as stopped:
        propose_candidates.python_func(dsl.Artifact(uri=str(tmp_path / "manifest.json")), tune_space=space, **more)
    assert stopped.value.code == 2
    assert said in termination_log.read_text()
