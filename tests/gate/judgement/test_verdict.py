"""The rules by which a verdict is accepted, refused or undecided."""

import math

import numpy as np
import pytest

from tilepipe.components.gate.judgement.floors import FloorResult
from tilepipe.components.gate.judgement.paired_comparison import compare
from tilepipe.components.gate.judgement.verdict import Rules, judge

MET, MISSED = FloorResult("accuracy", 0.9, 0.95), FloorResult("recall[Forest]", 0.8, 0.5)
UNDEFINED = FloorResult("recall[River]", 0.8, math.nan)


def comparison(tiles, only_champion, only_challenger):
    """Compare two models that are both right on all other tiles."""
    labels = np.arange(tiles) % 2
    champion, challenger = labels.copy(), labels.copy()
    challenger[:only_champion] ^= 1
    champion[only_champion : only_champion + only_challenger] ^= 1
    return compare(labels, champion, challenger, 2)


@pytest.mark.parametrize(
    ("floors", "outcome", "first"),
    [
        ([], "accepted", "There is no champion"),
        ([MET], "accepted", "accuracy is 0.9500, at least 0.9."),
        ([MET, MISSED], "refused", "recall[Forest] must be at least 0.8, but it is 0.5000."),
        ([MET, MET], "accepted", "All 2 floors are met."),
        ([MET, MET, UNDEFINED], "undecided", "recall[River]"),
        ([MET, UNDEFINED], "undecided", "recall[River] must be at least 0.8, but there are no test tiles for it."),
        ([UNDEFINED, MISSED], "refused", "recall[Forest]"),
    ],
)
def test_without_a_champion_the_floors_decide(floors, outcome, first):
    verdict = judge(floors, None, has_champion=False)
    assert verdict.outcome == outcome
    assert verdict.reasons[0].startswith(first)
    assert verdict.reasons[-1] == "There is no champion to compare with."


@pytest.mark.parametrize(
    ("counts", "outcome", "first"),
    [
        ((500, 0, 0), "accepted", "No difference"),
        ((500, 2, 20), "accepted", "The challenger is better: the accuracy of the challenger is 0.9960"),
        ((500, 20, 2), "refused", "The challenger is worse: the accuracy of the challenger is 0.9600"),
        ((5000, 10, 12), "accepted", "The challenger is not worse by more than 0.01"),
        ((100, 5, 4), "undecided", "The difference is not significant, but a loss of more than 0.01"),
        ((20, 0, 8), "undecided", "The models can be compared on 20 tiles only; at least 30"),
    ],
)
def test_the_comparison_decides(counts, outcome, first):
    verdict = judge([], comparison(*counts))
    assert verdict.outcome == outcome
    assert verdict.reasons[0].startswith(first)


def test_a_missed_floor_outweighs_a_better_accuracy():
    verdict = judge([MISSED], comparison(500, 2, 20))
    assert verdict.outcome == "refused"
    assert verdict.reasons[0].startswith("recall[Forest]")
    assert "The challenger is better" in verdict.reason


def test_a_class_that_is_lost_asks_a_person_although_the_accuracy_is_better():
    labels = np.repeat([0, 1], [900, 20])
    champion, challenger = labels.copy(), np.zeros_like(labels)
    champion[:60] = 1
    verdict = judge([], compare(labels, champion, challenger, 2))
    assert verdict.outcome == "undecided"
    assert verdict.reasons[0].startswith("The mean F1 over the classes is lower")
    assert verdict.reasons[1].startswith("The challenger is better")


def test_obstacles_ask_a_person():
    verdict = judge([MET], None, obstacles=["The champion has other classes."])
    assert verdict.outcome == "undecided"
    assert verdict.reasons == ("The champion has other classes.", "accuracy is 0.9500, at least 0.9.")
    assert judge([MISSED], None, obstacles=["The champion has other classes."]).outcome == "refused"
    assert judge([], None).outcome == "undecided"


def test_the_limits_are_settings():
    found = comparison(100, 5, 4)
    assert judge([], found, rules=Rules(max_loss=0.2)).outcome == "accepted"
    assert judge([], found, rules=Rules(min_tiles=101)).outcome == "undecided"
    assert judge([], comparison(500, 20, 2), rules=Rules(significance=1e-9)).outcome == "undecided"
