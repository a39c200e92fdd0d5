import numpy as np
import pytest

from tilepipe.components.pack.digest import digest


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 48, 1001])
def test_any_changed_byte_changes_it(size):
    pixels = np.random.default_rng(0).bytes(size)
    assert len(digest(pixels)) == 16
    found = {digest(pixels)}
    for place in range(size):
        changed = bytearray(pixels)
        changed[place] ^= 128
        found.add(digest(bytes(changed)))
    assert len(found) == size + 1


def test_tiles_that_are_alike_in_most_bytes_are_told_apart():
    tiles = {(number.to_bytes(2, "little") * 3 + bytes(1000)) for number in range(20_000)}
    for part in (slice(0, 8), slice(8, 12)):  # either hash of its own
        assert len({digest(tile)[part] for tile in tiles}) == len(tiles)


def test_it_is_the_same_on_every_machine():
    assert digest(bytes(range(100))).hex() == "400f50b234cc689fd739ce95d051e099"
