import threading
import time

import pytest

from tilepipe.components.shared.runtime.parallel import map_in_order


def test_results_come_in_the_order_of_the_items():
    def work(item):
        time.sleep(0.002 * (item % 3))
        return item * item

    assert list(map_in_order(work, range(50), threads=4)) == [item * item for item in range(50)]


def test_no_more_than_the_window_is_ever_held():
    started, taken, most = 0, 0, 0
    lock = threading.Lock()

    def work(item):
        nonlocal started, most
        with lock:
            started += 1
            most = max(most, started - taken)
        return bytes(10)

    for _ in map_in_order(work, iter(range(500)), threads=4, window=8):
        with lock:
            taken += 1
    assert taken == 500
    assert most <= 8 + 1  # the one that has been handed over and not yet counted


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


def test_nothing_begins_after_an_error():
    failed, begun = threading.Event(), []

    def work(item):
        begun.append(item)
        if item == 1:
            failed.set()
            raise KeyError(item)
        failed.wait()
        time.sleep(0.05)  # the other thread takes the next item meanwhile, if it may
        return item

    with pytest.raises(KeyError):
        list(map_in_order(work, range(100), threads=2))
    assert sorted(begun) == [0, 1]


def test_nothing_gives_nothing():
    assert list(map_in_order(str, [], threads=2)) == []
