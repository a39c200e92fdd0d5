"""Variants of tiles that show the same thing, over which probabilities are averaged (test-time augmentation).

A tile seen from above has no preferred orientation. Flips and quarter turns move pixels without changing them, so they
are exact in any dtype.
"""

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy.typing as npt

    Tiles = npt.NDArray[Any]

Variation = Literal["flip", "quarter_turn"]


def variants(tiles: "Tiles", variations: Collection[Variation]) -> Iterator["Tiles"]:
    """Yield the variants of tiles other than the tiles themselves.

    Args:
        tiles: `(tiles, height, width, bands)`.
        variations: `flip` gives the mirror images along both axes, `quarter_turn` the turns; both give the seven other
            symmetries of a square. A tile that is not square is turned by half a turn only.

    Yields:
        Arrays like `tiles`.
    """
    import numpy as np

    square = tiles.shape[1] == tiles.shape[2]
    turns = range(0, 4, 1 if square and "quarter_turn" in variations else 2)
    for mirrored in (False, True) if "flip" in variations else (False,):
        images = tiles[:, :, ::-1] if mirrored else tiles
        for turn in turns if variations else ():
            if turn or mirrored:
                yield np.ascontiguousarray(np.rot90(images, turn, axes=(1, 2)))
