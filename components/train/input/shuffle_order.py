"""In which order the tiles of a split come: a plan that anybody can work out, at any place in it, from the seed alone.

The shards are put in another order in each epoch and dealt into windows of whole shards; the windows come in turn, and
the tiles within each are mixed. So only a window has to be in memory, tiles of far shards meet in the next epoch, and
nothing has to be remembered: the plan is a function of the seed, the epoch and the shards' sizes.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]

_OF_SHARDS = 0
_OF_WINDOWS = 1


@dataclass(frozen=True, slots=True)
class Window:
    """Some whole shards whose tiles are mixed."""

    shards: tuple[int, ...]
    """Their numbers in the manifest's list, ascending."""
    start: int
    """How many tiles of the epoch come before."""
    tiles: int
    entropy: tuple[int, ...]
    """What the order of its tiles is drawn from; empty for the shards' own order."""

    @property
    def end(self) -> int:
        """How many tiles of the epoch have come after it."""
        return self.start + self.tiles

    def rows(self) -> Rows:
        """The window's tiles in the order in which they come.

        Returns:
            Indices into the window's tiles, shard after shard, int64, `(tiles,)`.
        """
        if not self.entropy:
            return np.arange(self.tiles, dtype=np.int64)
        return _generator(*self.entropy).permutation(self.tiles).astype(np.int64, copy=False)


@dataclass(frozen=True, slots=True)
class Order:
    """The plan of all epochs.

    Args:
        tiles_per_shard: how many tiles each shard holds, in the manifest's order.
        window_tiles: how many tiles a window may hold; a shard that is larger is a window of its own.
        seed: 32 bits.
    """

    tiles_per_shard: tuple[int, ...]
    window_tiles: int
    seed: int

    @property
    def identity(self) -> str:
        """What the order depends on, in 16 hexadecimal digits: two plans with the same one are the same plan."""
        facts = repr((self.tiles_per_shard, min(self.window_tiles, sum(self.tiles_per_shard)), self.seed))
        return hashlib.sha256(facts.encode()).hexdigest()[:16]

    def shuffled(self, epoch: int) -> list[Window]:
        """The windows of one epoch, in turn."""
        # A last word tells the draws apart: NumPy takes (seed, epoch) and (seed, epoch, 0) for the same entropy.
        shards = _generator(self.seed, epoch, 0, _OF_SHARDS + 1).permutation(len(self.tiles_per_shard))
        return self._deal([int(shard) for shard in shards], (self.seed, epoch))

    def in_order(self) -> list[Window]:
        """The windows of a pass in the shards' own order."""
        return self._deal(range(len(self.tiles_per_shard)), ())

    def _deal(self, shards: Sequence[int], entropy: tuple[int, ...]) -> list[Window]:
        groups: list[list[int]] = []
        room = 0
        for shard in shards:
            tiles = self.tiles_per_shard[shard]
            if not groups or tiles > room:
                groups.append([])
                room = self.window_tiles
            groups[-1].append(shard)
            room -= tiles
        windows, start = [], 0
        for number, group in enumerate(groups):
            tiles = sum(self.tiles_per_shard[shard] for shard in group)
            drawn = (*entropy, number, _OF_WINDOWS + 1) if entropy else ()
            windows.append(Window(tuple(sorted(group)), start, tiles, drawn))
            start += tiles
        return windows


def _generator(*entropy: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))
