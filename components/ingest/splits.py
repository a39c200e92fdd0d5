"""Which tile is for training, which for choosing the epoch, and which for the final figures."""

import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

import pyarrow as pa

from tilepipe.components.ingest.config import split_named
from tilepipe.components.ingest.rows import TileRow
from tilepipe.components.shared import storage
from tilepipe.components.shared.errors import SplitError
from tilepipe.components.shared.manifest import SPLITS

logger = logging.getLogger("tilepipe.ingest")


def split_by_fractions(rows: Sequence[TileRow], fractions: Mapping[str, float], seed: int) -> list[str]:
    """Split each class in the same proportions.

    A tile's place in its class is the rank of the MD5 of the seed and its id: the same on each machine, whatever the
    order of the rows.

    Args:
        rows: the tiles; each has a label.
        fractions: the share of each split; adds up to 1.
        seed: another seed, another split.

    Returns:
        The split of each row, in order.

    Raises:
        SplitError: a class has fewer tiles than there are splits.
    """
    import duckdb

    active = [split for split in SPLITS if fractions.get(split, 0) > 0]
    counts = Counter(row.label or "" for row in rows)
    small = {label: count for label, count in sorted(counts.items()) if count < len(active)}
    if small:
        raise SplitError(
            f"Each class must have at least {len(active)} tiles, one for each of {', '.join(active)}. "
            f"Received: {', '.join(f'{label} with {count}' for label, count in small.items())}. "
            "Add tiles, leave the class out, or set a split's fraction to 0."
        )
    cuts: list[tuple[str, str, int, int]] = []
    for label, count in counts.items():
        first = 0
        for split, size in zip(active, _allocate(count, [fractions[split] for split in active]), strict=True):
            cuts.append((label, split, first, first + size))
            first += size
    ids, labels = [row.tile_id for row in rows], [row.label for row in rows]
    places = pa.table({"place": range(len(rows)), "tile_id": ids, "label": labels})
    bounds = pa.table(dict(zip(("label", "split", "first", "last"), map(list, zip(*cuts, strict=True)), strict=True)))
    with duckdb.connect() as connection:
        connection.register("places", places)
        connection.register("bounds", bounds)
        found = connection.execute(
            """
            WITH ranked AS (
                SELECT place, label,
                    row_number() OVER (PARTITION BY label ORDER BY md5(? || ':' || tile_id), tile_id) - 1 AS rank
                FROM places
            )
            SELECT split FROM ranked JOIN bounds
                ON ranked.label = bounds.label AND rank >= first AND rank < last
            ORDER BY place
            """,
            [str(seed)],
        ).fetchall()
    return [split for (split,) in found]


def _allocate(count: int, fractions: Sequence[float]) -> list[int]:
    """Whole numbers in the given proportions that add up to `count`, each at least 1 (largest remainders)."""
    exact = [round(count * fraction, 9) for fraction in fractions]
    sizes = [int(value) for value in exact]
    by_remainder = sorted(range(len(exact)), key=lambda place: (sizes[place] - exact[place], place))
    for place in by_remainder[: count - sum(sizes)]:
        sizes[place] += 1
    for place, size in enumerate(sizes):
        if size == 0:
            sizes[max(range(len(sizes)), key=lambda other: (sizes[other], -other))] -= 1
            sizes[place] = 1
    return sizes


def split_by_files(rows: Sequence[TileRow], files: Mapping[str, str]) -> list[str | None]:
    """Split as lists of names say.

    A name may be a tile's id, its file's name, or its file's name but for the suffix: EuroSAT's canonical lists say
    `Forest_1.jpg` for what is `Forest_1.tif` in the 13-band edition.

    Args:
        rows: the tiles.
        files: address of the list of each split, one name a line; empty lines and those that start with # are skipped.

    Returns:
        The split of each row, in order; None for one that no list names.

    Raises:
        SplitError: a name fits no tile or several, or a tile is in two lists.
    """
    indexes = _indexes(rows)
    splits: list[str | None] = [None] * len(rows)
    for split, address in files.items():
        uri = storage.normalise(address)
        try:
            lines = storage.read_bytes(uri).decode("utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise SplitError(f"A list of split_files must be text. Received: {uri}, which gives: {error}.") from None
        names = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        unknown = []
        for name in names:
            places = _find(name, indexes)
            if not places:
                unknown.append(name)
                continue
            if len(places) > 1:
                both = [rows[place].tile_id for place in places[:2]]
                raise SplitError(
                    f"A name in split_files must fit one tile. Received: {name} in {uri}, which is {both}."
                )
            if splits[places[0]] not in {None, split}:
                raise SplitError(
                    "A tile must be in one split, or what is measured has been trained on. Received: "
                    f"{rows[places[0]].tile_id} in split_files {splits[places[0]]} and {split}."
                )
            splits[places[0]] = split
        if unknown:
            raise SplitError(
                "Each name in split_files must be the id or the file name of a tile. Received: "
                f"{len(unknown):,} of {len(names):,} names in {uri} that fit none, such as {', '.join(unknown[:3])}; "
                f"the tiles are called {', '.join(sorted(row.tile_id for row in rows)[:3])}, ..."
            )
    left_out = splits.count(None)
    if left_out:
        logger.warning("left out %s of %s tiles, which no list of split_files names", f"{left_out:,}", f"{len(rows):,}")
    return splits


def _indexes(rows: Sequence[TileRow]) -> list[dict[str, list[int]]]:
    ids: dict[str, list[int]] = defaultdict(list)
    names: dict[str, list[int]] = defaultdict(list)
    stems: dict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        path = PurePosixPath(row.uri)
        ids[row.tile_id].append(place)
        names[path.name].append(place)
        stems[path.stem].append(place)
    return [ids, names, stems]


def _find(name: str, indexes: Sequence[Mapping[str, list[int]]]) -> list[int]:
    keys = (name, name, PurePosixPath(name).stem)
    return next((index[key] for index, key in zip(indexes, keys, strict=True) if key in index), [])


def split_by_property(rows: Sequence[TileRow], name: str) -> list[str]:
    """Split as a property of the source's items says.

    Args:
        rows: the tiles, with what the property holds as `split`.
        name: the property's name, for messages.

    Returns:
        The split of each row, in order.

    Raises:
        SplitError: the property is absent, or holds something that is no split's name.
    """
    named = {value: split_named(value) if value else None for value in {row.split for row in rows}}
    wrong = [row for row in rows if named[row.split] is None]
    if wrong:
        values = sorted({repr(row.split) for row in wrong})
        raise SplitError(
            "The property of split_property must hold train, val (or validate, validation) or test in every item. "
            f"Received: split_property={name!r}, and {len(wrong):,} of {len(rows):,} items have "
            f"{', '.join(values[:5])} there, such as {wrong[0].tile_id}."
        )
    return [str(named[row.split]) for row in rows]
