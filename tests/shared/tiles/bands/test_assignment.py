import itertools

import numpy as np
import pytest

from tilepipe.components.shared.tiles.bands.assignment import best_assignment


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6])
@pytest.mark.parametrize("seed", range(20))
def test_none_is_cheaper(size, seed):
    rng = np.random.default_rng(seed)
    costs = rng.random((size, size)) if seed % 2 else rng.integers(0, 4, (size, size)).astype(float)
    found = best_assignment(costs)
    cheapest = min(costs[range(size), order].sum() for order in map(list, itertools.permutations(range(size))))
    assert sorted(found) == list(range(size))
    assert costs[range(size), found].sum() == pytest.approx(cheapest)


def test_as_many_as_sentinel_2_has():
    order = np.random.default_rng(0).permutation(13)
    costs = np.ones((13, 13))
    costs[range(13), order] = 0
    np.testing.assert_array_equal(best_assignment(costs), order)
