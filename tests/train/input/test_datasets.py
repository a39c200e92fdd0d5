import time

import pytest
import tensorflow as tf

from tilepipe.components.train.input.datasets import without_autotune


def seconds_to_let_go(data, used_seconds):
    batches = iter(data)
    started = time.monotonic()
    while time.monotonic() - started < used_seconds:
        next(batches)
        time.sleep(0.01)
    started = time.monotonic()
    del batches
    return time.monotonic() - started


@pytest.mark.parametrize("used_seconds", [0.75, 1.4])  # shortly after the tuning of TensorFlow 2.21 would fall asleep
def test_an_iterator_is_let_go_at_once(used_seconds):
    data = tf.data.Dataset.range(10**9).map(lambda number: number + 1, num_parallel_calls=2).prefetch(2)
    assert seconds_to_let_go(without_autotune(data), used_seconds) < 0.3


def test_the_elements_are_the_same():
    data = tf.data.Dataset.range(5)
    assert list(without_autotune(data).as_numpy_iterator()) == list(range(5))
    assert not without_autotune(data).options().autotune.enabled
