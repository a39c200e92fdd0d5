"""Deterministic shuffle order, computable at any position from the seed.

The shards are shuffled in each epoch and grouped into windows of whole shards; the windows are used in turn, and the
tiles within each are shuffled. So only one window has to be in memory, tiles of other shards are combined in each
epoch, and no state is needed: the order is a function of the seed, the epoch and the sizes of the shards.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]

_OF_SHARDS = 1
_OF_WINDOWS = 2


@dataclass(frozen=True, slots=True)
class Window:
    """Whole shards whose tiles are shuffled together."""

    shards: tuple[int, ...]
    """Indices into the manifest's list, ascending."""
    start: int
    """Number of tiles of the epoch before the window."""
    tiles: int
    entropy: tuple[int, ...]
    """Entropy of the order of its tiles; empty for the order of the shards."""

    @property
    def end(self) -> int:
        """Number of tiles of the epoch up to the end of the window."""
        return self.start + self.tiles

    def rows(self) -> Rows:
        """Return the order of the window's tiles: indices into them, shard after shard, int64, `(tiles,)`."""
        if not self.entropy:
            return np.arange(self.tiles, dtype=np.int64)
        return _generator(*self.entropy).permutation(self.tiles).astype(np.int64, copy=False)


@dataclass(frozen=True, slots=True)
class ShuffleOrder:
    """The order of the tiles in all epochs.

    Args:
        tiles_per_shard: number of tiles in each shard, in the manifest's order.
        window_tiles: maximum number of tiles in a window; a larger shard is a window of its own.
        seed: 32 bits.
    """

    tiles_per_shard: tuple[int, ...]
    window_tiles: int
    seed: int

    @property
    def identity(self) -> str:
        """Digest of all that the order depends on, 16 hexadecimal digits: equal for equal orders."""
        facts = repr((self.tiles_per_shard, min(self.window_tiles, sum(self.tiles_per_shard)), self.seed))
        return hashlib.sha256(facts.encode()).hexdigest()[:16]

    def shuffled(self, epoch: int) -> list[Window]:
        """Return the windows of an epoch, in order."""
        # The last word separates the draws: NumPy treats (seed, epoch) and (seed, epoch, 0) as the same entropy.
        shards = _generator(self.seed, epoch, 0, _OF_SHARDS).permutation(len(self.tiles_per_shard))
        return self._group([int(shard) for shard in shards], (self.seed, epoch))

    def sequential(self) -> list[Window]:
        """Return the windows of a pass in the order of the shards."""
        return self._group(range(len(self.tiles_per_shard)), ())

    def _group(self, shards: Sequence[int], entropy: tuple[int, ...]) -> list[Window]:
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
            drawn = (*entropy, number, _OF_WINDOWS) if entropy else ()
            windows.append(Window(tuple(sorted(group)), start, tiles, drawn))
            start += tiles
        return windows


def _generator(*entropy: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))
