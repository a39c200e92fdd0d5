"""Assignment of whole groups of tiles to splits: a greedy algorithm that keeps the classes in proportion."""

import hashlib
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tilepipe.components.shared.contracts.manifest import Split
from tilepipe.components.shared.errors import SplitError


def assign_groups(counts: pa.Table, fractions: Mapping[Split, float], seed: int) -> tuple[list[str], list[Split]]:
    """Assign each group to the split that lacks its classes most, the largest groups first.

    Args:
        counts: columns `group`, `label` and the number of tiles, one row per pair.
        fractions: fraction of each split, all above 0.
        seed: seed of the order of groups of the same size.

    Returns:
        The groups, and the split of each.

    Raises:
        SplitError: if there are fewer groups than splits.
    """
    groups, places = _encoded(counts["group"])
    _, labels = _encoded(counts["label"])
    tiles = counts.column(2).to_numpy().astype(np.float64)
    if len(groups) < len(fractions):
        raise SplitError(
            f"There must be at least as many groups as splits, {len(fractions)}. Received: {len(groups)} groups, "
            f"{', '.join(groups[:5])}. Use another group, smaller blocks, or set a split's fraction to 0."
        )
    totals = np.bincount(labels, weights=tiles)
    lacking = np.outer(np.array([fractions[split] for split in fractions]), np.ones(len(totals)))
    order = np.lexsort((labels, places))
    places, labels, tiles = places[order], labels[order], tiles[order]
    starts = np.searchsorted(places, np.arange(len(groups) + 1))
    sizes = np.add.reduceat(tiles, starts[:-1])
    hashes = [hashlib.blake2b(f"{seed}:{group}".encode(), digest_size=8).digest() for group in groups]
    chosen = np.zeros(len(groups), dtype=np.intp)
    empty = len(fractions)
    used: set[int] = set()
    for done, group in enumerate(np.lexsort((np.array(hashes, dtype="S8"), -sizes))):
        span = slice(starts[group], starts[group + 1])
        shares = tiles[span] / totals[labels[span]]
        scores = lacking[:, labels[span]] @ shares
        if len(groups) - done <= empty:  # the last groups are reserved for empty splits
            scores[list(used)] = -np.inf
        split = int(np.argmax(scores))
        lacking[split, labels[span]] -= shares
        chosen[group] = split
        if split not in used:
            used.add(split)
            empty -= 1
    names = list(fractions)
    return groups, [names[split] for split in chosen.tolist()]


def _encoded(column: "pa.ChunkedArray[pa.StringScalar]") -> tuple[list[str], npt.NDArray[np.intp]]:
    """Return the sorted distinct values, and the index of each row's value among them."""
    values = pc.unique(column).sort()
    return [str(value) for value in values.to_pylist()], pc.index_in(column, value_set=values).to_numpy().astype(
        np.intp
    )
