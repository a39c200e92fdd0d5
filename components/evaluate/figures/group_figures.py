"""Figures of each group of tiles, such as a site or a block of land."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tilepipe.components.evaluate.figures.arrays import Counts


class GroupFigures(NamedTuple):
    """Figures of one group."""

    name: str
    tiles: int
    classes: int
    """Number of classes that have tiles in the group."""
    accuracy: float


def group_figures(groups: Sequence[str], labels: Counts, predicted: Counts) -> tuple[GroupFigures, ...]:
    """Compute the figures of each group.

    Args:
        groups: group of each tile; tiles with an empty one belong to no group.
        labels: true classes, int64, `(tiles,)`.
        predicted: predicted classes, int64, `(tiles,)`.

    Returns:
        The figures, by ascending accuracy, then descending number of tiles, then name.
    """
    names, group = np.unique(np.array(groups, dtype=object).astype(str), return_inverse=True)
    tiles = np.bincount(group, minlength=len(names))
    right = np.bincount(group, weights=labels == predicted, minlength=len(names))
    classes = np.bincount(np.unique(np.stack([group, labels]), axis=1)[0], minlength=len(names))
    found = [
        GroupFigures(str(name), int(tiles[i]), int(classes[i]), float(right[i] / tiles[i]))
        for i, name in enumerate(names)
        if name
    ]
    return tuple(sorted(found, key=lambda one: (one.accuracy, -one.tiles, one.name)))
