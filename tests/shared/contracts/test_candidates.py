"""Ranks of candidates, and their files."""

import math

import pytest

from tilepipe.components.shared.contracts.candidates import OUTCOME_FILE, Outcome, ranked, read_outcomes
from tilepipe.components.shared.contracts.history import History
from tilepipe.components.shared.errors import ArtifactError


def outcome(index, value=None, *, metric="val_accuracy", status="finished", weights=100, epochs=1):
    figures = {"loss": 1.0, "val_loss": 1.0, "val_accuracy": 0.5}
    figures |= {} if value is None else {metric: value}
    chosen = metric if metric in figures else "val_accuracy"
    history = History(metric=chosen, best_epoch=epochs, epochs=(figures,) * epochs)
    return Outcome(
        index=index,
        parameters={"seed": index},
        status=status,
        metric=metric,
        history=None if status == "failed" else history,
        weights=weights,
    )


def indices(*outcomes):
    return [one.index for one in ranked(list(outcomes))]


def test_higher_is_better_but_of_losses():
    assert indices(outcome(0, 0.8), outcome(1, 0.9), outcome(2, 0.7)) == [1, 0, 2]
    losses = [outcome(index, value, metric="val_loss") for index, value in enumerate((0.8, 0.9, 0.7))]
    assert indices(*losses) == [2, 0, 1]


def test_undefined_metrics_come_last_among_the_finished():
    absent = outcome(0, metric="val_recall/Forest")
    assert math.isnan(absent.value)
    present = outcome(1, 0.0, metric="val_recall/Forest")
    undefined = outcome(2, math.nan, metric="val_recall/Forest")
    stopped = outcome(3, 1.0, metric="val_recall/Forest", status="stopped")
    assert indices(absent, stopped, undefined, present) == [1, 0, 2, 3]


def test_fewer_weights_then_the_lower_index_decide_between_equal_ones():
    equal = [outcome(0, 0.9, weights=200), outcome(2, 0.9), outcome(1, 0.9), outcome(3, 0.9, weights=None)]
    assert indices(*equal) == [1, 2, 0, 3]
    assert indices(*reversed(equal)) == [1, 2, 0, 3]


def test_stopped_candidates_come_after_finished_ones_and_failed_ones_last():
    found = indices(
        outcome(0, status="failed"),
        outcome(1, 0.99, status="stopped", epochs=2),
        outcome(2, 0.5, status="stopped", epochs=6),
        outcome(3, 0.1),
    )
    assert found == [3, 2, 1, 0]


def test_outcomes_are_read_back(tmp_path):
    written = [outcome(3, 0.5), outcome(1, status="failed")]
    for one in written:
        one.write(tmp_path / one.name / OUTCOME_FILE)
    assert ranked(read_outcomes(tmp_path)) == written
    assert read_outcomes(tmp_path / "absent") == []


def test_a_damaged_outcome_is_refused(tmp_path):
    outcome(3, 0.5).write(tmp_path / "candidate-003" / OUTCOME_FILE)
    (tmp_path / "candidate-003" / "outcome.json").write_text("{}")
    with pytest.raises(ArtifactError, match="candidate-003"):
        read_outcomes(tmp_path)
