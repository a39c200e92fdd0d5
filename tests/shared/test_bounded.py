import threading
import time

import pytest

from tilepipe.components.shared.bounded import map_in_order


@pytest.mark.parametrize("at_once", [1, 3, 60])
def test_results_come_in_the_order_of_the_items(at_once):
    def work(item):
        time.sleep(0.002 * (item % 3))
        return item * item

    assert list(map_in_order(work, range(50), threads=4, at_once=at_once)) == [item * item for item in range(50)]


@pytest.mark.parametrize("at_once", [1, 2])
def test_no_more_than_the_window_is_ever_held(at_once):
    started, taken, most = 0, 0, 0
    lock = threading.Lock()

    def work(item):
        nonlocal started, most
        with lock:
            started += 1
            most = max(most, started - taken)
        return bytes(10)

    for _ in map_in_order(work, iter(range(500)), threads=4, window=8, at_once=at_once):
        with lock:
            taken += 1
    assert taken == 500
    assert most <= 8 + at_once  # those that have been handed over and not yet counted


def test_a_window_smaller_than_what_is_taken_at_a_time():
    assert list(map_in_order(str, range(7), threads=2, window=2, at_once=3)) == list("0123456")


def test_items_are_taken_as_there_is_room():
    seen = []

    def items():
        for item in range(100):
            seen.append(item)
            yield item

    results = map_in_order(str, items(), threads=2, window=4)
    assert next(results) == "0"
    assert len(seen) == 5
    results.close()


def test_an_error_ends_it():
    def work(item):
        if item == 3:
            raise KeyError(item)
        return item

    results = map_in_order(work, range(1_000_000), threads=2)
    with pytest.raises(KeyError):
        list(results)


def test_nothing_gives_nothing():
    assert list(map_in_order(str, [], threads=2)) == []
