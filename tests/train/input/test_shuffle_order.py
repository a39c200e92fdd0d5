import json
import subprocess
import sys

import numpy as np
import pytest

from tilepipe.components.train.input.shuffle_order import ShuffleOrder

SIZES = (7, 3, 12, 0, 5, 9, 1)


def tiles_of(order, windows):
    """Return the tiles in their order, as (shard, position in it)."""
    found = []
    for window in windows:
        tiles = [(shard, row) for shard in window.shards for row in range(order.tiles_per_shard[shard])]
        assert len(tiles) == window.tiles
        assert window.start == len(found)
        found += [tiles[row] for row in window.rows()]
    return found


EVERY = [(shard, row) for shard, size in enumerate(SIZES) for row in range(size)]


@pytest.mark.parametrize("window_tiles", [1, 10, 12, 20, 37, 1000])
def test_every_tile_comes_once_whatever_the_windows(window_tiles):
    order = ShuffleOrder(SIZES, window_tiles, seed=5)
    first, second = (tiles_of(order, order.shuffled(epoch)) for epoch in (0, 1))
    assert sorted(first) == sorted(second) == EVERY
    assert first != second
    assert tiles_of(order, order.sequential()) == EVERY


@pytest.mark.parametrize("window_tiles", [1, 10, 20])
def test_a_window_is_whole_shards_that_fit(window_tiles):
    for epoch in range(20):
        for window in ShuffleOrder(SIZES, window_tiles, seed=5).shuffled(epoch):
            assert window.tiles <= window_tiles or len([shard for shard in window.shards if SIZES[shard]]) == 1


def test_one_window_holds_all_where_all_fit():
    (window,) = ShuffleOrder(SIZES, sum(SIZES), seed=5).shuffled(3)
    assert window.shards == tuple(range(len(SIZES)))
    assert np.mean(np.diff(window.rows()) == 1) < 0.2


def test_the_order_follows_from_seed_and_epoch_alone():
    # In another process too: nothing may depend on Python's hashes or on earlier draws.
    code = (
        "import json; from tilepipe.components.train.input.shuffle_order import ShuffleOrder; "
        f"print(json.dumps([(w.shards, w.start, w.rows().tolist()) for w in ShuffleOrder({SIZES}, 12, 5).shuffled(4)]))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    order = ShuffleOrder(SIZES, 12, seed=5)
    order.shuffled(0)
    here = [[list(window.shards), window.start, window.rows().tolist()] for window in order.shuffled(4)]
    assert json.loads(found) == here
    other = ShuffleOrder(SIZES, 12, seed=6)
    assert tiles_of(other, other.shuffled(4)) != tiles_of(order, order.shuffled(4))


def test_the_order_is_the_same_on_every_machine():
    windows = ShuffleOrder((3, 3, 3), 6, seed=1).shuffled(2)
    assert [(window.shards, window.rows().tolist()) for window in windows] == [
        ((0, 1), [5, 1, 2, 3, 0, 4]),
        ((2,), [0, 2, 1]),
    ]


def test_no_two_draws_are_the_same():
    # NumPy treats (seed, epoch) and (seed, epoch, 0) as the same entropy.
    windows = [
        window
        for epoch in range(4)
        for seed in range(4)
        for window in ShuffleOrder((50,) * 4, 100, seed).shuffled(epoch)
    ]
    assert len({tuple(window.rows()) for window in windows}) == len(windows)


def test_plans_that_differ_have_another_identity():
    plans = [
        ShuffleOrder(SIZES, 10, 5),
        ShuffleOrder(SIZES, 11, 5),
        ShuffleOrder(SIZES, 10, 6),
        ShuffleOrder(SIZES[::-1], 10, 5),
    ]
    assert len({plan.identity for plan in plans}) == 4
    assert ShuffleOrder(SIZES, 37, 5).identity == ShuffleOrder(SIZES, 1000, 5).identity
    assert ShuffleOrder((), 1, 5).shuffled(0) == []
