"""Champion and challenger on the same tiles."""

import math

import numpy as np
import pytest

from tilepipe.components.gate.judgement.paired_comparison import COMPARED, compare, mcnemar
from tilepipe.components.shared.figures import classification_figures


@pytest.mark.parametrize(
    ("only_one", "only_other", "expected"),
    [
        (0, 0, 1.0),  # scipy's binomtest refuses zero trials
        (0, 1, 1.0),
        (0, 5, 0.0625),  # 2 / 2**5
        (0, 6, 0.03125),
        (10, 2, 0.03857421875),  # 2 * (1 + 12 + 66) / 2**12
        (7, 7, 1.0),
        (121, 59, 2 * sum(math.comb(180, right) for right in range(60)) / 2**180),
    ],
)
def test_mcnemar_gives_known_p_values(only_one, only_other, expected):
    assert mcnemar(only_one, only_other) == pytest.approx(expected)
    assert mcnemar(only_other, only_one) == pytest.approx(expected)


def predictions(labels, wrong, classes):
    """Return the labels, with those at `wrong` replaced by the next class."""
    predicted = labels.copy()
    predicted[wrong] = (predicted[wrong] + 1) % classes
    return predicted


def test_the_figures_are_those_of_the_evaluation():
    random = np.random.default_rng(3)
    labels = random.integers(0, 4, 300)
    champion, challenger = (
        np.where(random.random(300) < share, labels, random.integers(0, 5, 300)) for share in (0.5, 0.8)
    )
    found = compare(labels, champion, challenger, 5, resamples=50)
    for name in COMPARED:
        for predicted, value in ((champion, "champion"), (challenger, "challenger")):
            confusion = np.zeros((5, 5), np.int64)
            np.add.at(confusion, (labels, predicted), 1)
            expected = classification_figures(confusion).overall[name]
            assert getattr(found.differences[name], value) == pytest.approx(expected), name


def test_the_interval_is_that_of_resampled_tiles():
    labels = np.arange(200) % 2
    champion, challenger = predictions(labels, np.arange(60), 2), predictions(labels, np.arange(50, 80), 2)
    found = compare(labels, champion, challenger, 2, resamples=4000, seed=1)
    random = np.random.default_rng(2)
    score = (challenger == labels).astype(float) - (champion == labels)
    expected = np.percentile(score[random.integers(0, 200, (4000, 200))].mean(axis=1), [2.5, 97.5])
    accuracy = found.differences["accuracy"]
    assert (found.only_champion, found.only_challenger, found.tiles) == (20, 50, 200)
    assert accuracy.value == pytest.approx(0.15)
    assert (accuracy.low, accuracy.high) == pytest.approx(tuple(expected), abs=0.011)


def test_the_same_seed_gives_the_same_interval():
    labels = np.arange(100) % 3
    predicted = predictions(labels, np.arange(30), 3), predictions(labels, np.arange(20, 60), 3)
    one, again, other = (compare(labels, *predicted, 3, seed=seed) for seed in (1, 1, 2))
    assert one == again
    assert one.differences["accuracy"].low != other.differences["accuracy"].low


def test_the_chunks_of_the_bootstrap_change_nothing(monkeypatch):
    labels = np.arange(100) % 3
    predicted = predictions(labels, np.arange(30), 3), predictions(labels, np.arange(20, 60), 3)
    whole = compare(labels, *predicted, 3, resamples=100)
    monkeypatch.setattr("tilepipe.components.gate.judgement.paired_comparison._CELLS_AT_ONCE", 100)
    assert compare(labels, *predicted, 3, resamples=100) == whole


@pytest.mark.parametrize("wrong", [0, 3, 10])
def test_models_that_agree_have_a_difference_of_zero(wrong):
    labels = np.zeros(10, np.int64)
    predicted = predictions(labels, np.arange(wrong), 2)
    found = compare(labels, predicted, predicted, 2)
    assert found.p_value == 1
    for difference in found.differences.values():
        assert (difference.value, difference.low, difference.high) == (0, 0, 0)
