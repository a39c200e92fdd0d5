import math
import random

import pytest

from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.train.optimization.learning_rate_finder import RateCurve, RateFinderOptions, find_rate


class Bowl:
    """Gradient descent on `x ** 2 / 2` with noise, which converges only for rates below 2."""

    def __init__(self):
        self.x, self.rates, self.chance = 10.0, [], random.Random(0)

    def __call__(self, rate):
        self.rates.append(rate)
        loss = self.x**2 / 2
        self.x -= rate * (self.x + self.chance.gauss(0, 1))
        return loss


def test_rates_rise_by_the_same_factor():
    bowl = Bowl()
    find_rate(bowl, steps=33)
    assert bowl.rates == pytest.approx([10 ** (-7 + number / 4) for number in range(len(bowl.rates))])


def test_the_suggestion_converges_and_is_not_timid():
    curve = find_rate(Bowl(), steps=100)
    assert curve.diverged
    assert len(curve.rates) < 100
    assert curve.rates[-1] > 2
    assert 0.002 < curve.suggestion < 2
    assert 0.002 < curve.steepest < 2


def test_it_stops_at_four_times_the_best():
    losses = iter([1.0, 0.5] + [2.0**power for power in range(100)])
    curve = find_rate(lambda _: next(losses), steps=100)
    assert curve.diverged
    assert curve.smoothed[-1] > 4 * min(curve.smoothed)
    assert curve.smoothed[-2] <= 4 * min(curve.smoothed)


def test_it_stops_where_the_loss_leaves_the_numbers():
    losses = iter([3.0, 2.0, 1.0, math.nan, 1.0])
    curve = find_rate(lambda _: next(losses), steps=30)
    assert curve.diverged
    assert curve.losses == (3, 2, 1)
    assert next(losses) == 1


def test_the_average_is_not_drawn_to_zero():
    assert find_rate(lambda _: 3.0, steps=40).smoothed == pytest.approx([3.0] * 40)


def test_a_loss_that_does_not_fall_suggests_nothing():
    curve = find_rate(lambda rate: 1.0 + rate, steps=50)
    assert curve.suggestion is None
    assert curve.steepest is None


def test_a_broken_start_is_reported():
    with pytest.raises(ParameterError, match="The loss must be finite at the lowest learning rate of the finder"):
        find_rate(lambda _: math.inf, steps=20)


def test_a_curve_goes_to_json_and_back():
    curve = find_rate(Bowl(), steps=50)
    assert RateCurve.model_validate_json(curve.model_dump_json()) == curve


def test_a_real_network_learns_with_the_suggestion():
    import keras
    import numpy as np

    keras.utils.set_random_seed(2)
    labels = np.arange(64) % 4
    tiles = np.eye(4, dtype=np.float32)[labels]
    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, activation="softmax")])
    network.compile(keras.optimizers.SGD(0.0, momentum=0.9), "sparse_categorical_crossentropy", jit_compile=False)
    start = network.get_weights()

    def step(rate):
        network.optimizer.learning_rate = rate
        return float(network.train_on_batch(tiles, labels))

    curve = find_rate(step, steps=100)
    network.set_weights(start)
    before = step(curve.suggestion)
    for _ in range(30):
        after = step(curve.suggestion)
    assert after < before / 2


@pytest.mark.parametrize(
    ("given", "message"),
    [({"learning_rate_finder": True}, "`learning_rate_finder` should be 'off'"), ({"finder_steps": 5}, "finder_steps")],
)
def test_a_wrong_value_is_one_message(given, message):
    with pytest.raises(ParameterError, match=message):
        RateFinderOptions.parse(**given)
