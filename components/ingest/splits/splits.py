"""Division of the tiles into train, val and test: the table `places`."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from tilepipe.components.ingest.config import IngestConfig
from tilepipe.components.ingest.parameter_names import argument
from tilepipe.components.ingest.report.distance import EARTH_RADIUS_METRES
from tilepipe.components.ingest.splits.groups import assign_groups
from tilepipe.components.ingest.splits.identical import tie_identical_tiles
from tilepipe.components.ingest.splits.predefined import (
    draw_val_from_train,
    has_split_folders,
    lacks_val,
    split_by_files,
    split_by_property,
)
from tilepipe.components.shared.contracts.manifest import SPLITS
from tilepipe.components.shared.errors import ParameterError, SplitError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_SHOWN = 10


def split_tiles(connection: "DuckDBPyConnection", config: IngestConfig) -> int:
    """Create the table `places`: `row`, a rowid of `chosen`, and its `split`; tiles without a split are not in it.

    The split of a tile depends on the seed, its id and the other tiles, never on the order of the rows.

    Returns:
        Number of tiles without a split.

    Raises:
        SplitError: if the tiles cannot be split as requested.
        ParameterError: if the tiles lack a property that the split requires.
    """
    without_val, by_folders = lacks_val(connection, config), has_split_folders(connection, config)
    predefined = bool(config.split_files or config.split_property or by_folders)
    at_random = config.needs_labels and (without_val or (config.split_by == "class" and not predefined))
    if at_random and not config.options.allow_duplicates:
        tie_identical_tiles(connection)
    if not config.needs_labels:
        connection.execute("CREATE TABLE places AS SELECT rowid AS row, 'test' AS split FROM chosen")
    elif config.split_files:
        split_by_files(connection, config.split_files)
    elif config.split_property:
        split_by_property(connection, config.split_property)
    elif by_folders:
        connection.execute("CREATE TABLE places AS SELECT rowid AS row, split FROM chosen")
    elif config.split_by == "time":
        _split_by_time(connection, config.split_fractions)
    elif config.split_by == "class":
        _split_by_class(connection, config)
    else:
        if config.split_by == "block":
            _make_blocks(connection, config.split_block_metres)
        _split_by_group(connection, config)
    if without_val:
        draw_val_from_train(connection, config.split_fractions, config.seed)
    if config.split_merge_train_val:
        connection.execute("UPDATE places SET split = 'train' WHERE split = 'val'")
    left_out = "SELECT (SELECT count(*) FROM chosen) - (SELECT count(*) FROM places)"
    return int(connection.execute(left_out).fetchall()[0][0])


def _split_by_class(connection: "DuckDBPyConnection", config: IngestConfig) -> None:
    """Split each class in the same proportions; tiles of one unit, such as the images of an object, stay together.

    Tiles with the same content are one unit too, unless duplicates are allowed.

    The order within a class is that of the MD5 of the seed and the id: the same on every machine, and independent of
    the order of the rows.
    """
    has_units = connection.execute("SELECT count(tilepipe_unit) > 0 FROM chosen").fetchall()[0][0]
    unit = "coalesce(tilepipe_unit, tile_id)" if has_units else "tile_id"
    number = f"count(DISTINCT {unit})" if has_units else "count(*)"
    fractions = config.split_fractions
    active = [split for split in SPLITS if fractions.get(split, 0) > 0]
    if 0 < config.max_per_class < len(active):
        raise SplitError(
            f"Each class must keep at least {len(active)} tiles, one for each of {', '.join(active)}. Received: "
            f"data_max_per_class={config.max_per_class}. Set data_max_per_class={len(active)} or more."
        )
    query = f"SELECT label, {number}, count(*) FROM chosen GROUP BY label"  # noqa: S608
    rows = connection.execute(query).fetchall()
    counts = {label: count for label, count, _ in rows}
    small = {label: count for label, count in sorted(counts.items()) if count < len(active)}
    if small:
        listed = [f"{label} with {count}" for label, count in small.items()]
        # min_per_class counts tiles, of which a class of copies has enough.
        are_few = all(tiles < len(active) for label, _, tiles in rows if label in small)
        drop = argument("recode", dict.fromkeys(list(small)[:_SHOWN], ""))
        least = {"min_per_class": len(active)}
        merged = argument("options", {**least, "rare_class": "rare"})
        merge = f" with {argument('options', least)}, or merge them with {merged}"
        # Two tiles are enough for two splits; a single one is enough for none that can be measured.
        is_enough = len(active) == 3 and min(small.values()) == 2
        fractions_of_two = argument("split_fractions", {"train": 0.8, "val": 0.2})
        fewer = f"set the fraction of a split to 0, such as {fractions_of_two}; " if is_enough else ""
        counted = ", counting copies and images of one object once" if has_units else ""
        more = f" and {len(listed) - _SHOWN:,} more classes" if len(listed) > _SHOWN else ""
        raise SplitError(
            f"Each class must have at least {len(active)} tiles, one for each of {', '.join(active)}. "
            f"Received: {', '.join(listed[:_SHOWN])}{more}{counted}. "
            f"Add tiles; {fewer}or drop such classes{merge if are_few else f' with {drop}'}."
        )
    cuts: list[tuple[str, str, int, int]] = []
    for label, count in counts.items():
        first = 0
        for split, size in zip(active, _allocate(count, [fractions[split] for split in active]), strict=True):
            cuts.append((label, split, first, first + size))
            first += size
    bounds = dict(zip(("label", "split", "first", "last"), map(list, zip(*cuts, strict=True)), strict=True))
    connection.register("bounds", pa.table(bounds))
    connection.execute(
        f"""
        CREATE TABLE places AS
        WITH ranked AS (
            SELECT rowid AS row, label, {"dense_rank" if has_units else "row_number"}() OVER (
                PARTITION BY label ORDER BY md5(? || ':' || {unit}), {unit}
            ) - 1 AS rank
            FROM chosen
        )
        SELECT row, bounds.split FROM ranked JOIN bounds
            ON ranked.label = bounds.label AND rank >= first AND rank < last
        """,  # noqa: S608
        [str(config.seed)],
    )
    connection.unregister("bounds")


def _allocate(count: int, fractions: Sequence[float]) -> list[int]:
    """Divide `count` into integers of at least 1 in the given proportions (largest remainder method)."""
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


def _split_by_group(connection: "DuckDBPyConnection", config: IngestConfig) -> None:
    """Assign each group to one split, such that the classes have about the same proportions in all splits."""
    without = connection.execute('SELECT count(*), min(tile_id) FROM chosen WHERE "group" IS NULL').fetchall()[0]
    if without[0]:
        raise SplitError(
            "With split_by=group each tile must have a group. "
            f"Received: {without[0]:,} tiles without one, such as {without[1]}; "
            f"data_columns.group={config.columns.group!r}. {_remedy(connection, 'group', without[0])}"
        )
    counts = connection.sql('SELECT "group", label, count(*) FROM chosen GROUP BY ALL').to_arrow_table()
    active = {split: config.split_fractions[split] for split in SPLITS if config.split_fractions.get(split, 0) > 0}
    groups, splits = assign_groups(counts, active, config.seed)
    connection.register("assigned", pa.table({"group": groups, "split": splits}))
    connection.execute(
        'CREATE TABLE places AS SELECT chosen.rowid AS row, assigned.split FROM chosen JOIN assigned USING ("group")'
    )
    connection.unregister("assigned")


def _remedy(connection: "DuckDBPyConnection", role: str, without: int) -> str:
    """Say what to do about tiles without a group or a time: the column is known if others have one."""
    [(total,)] = connection.execute("SELECT count(*) FROM chosen").fetchall()
    if without == total:
        return f"Name the property or column with {argument('columns', {role: '...'})}."
    condition = f'"{role}" IS NOT NULL'
    return f"Complete them, or drop these tiles with {argument('where', condition)}."


def _make_blocks(connection: "DuckDBPyConnection", metres: float) -> None:
    """Set the group of each tile to the square block on the ground that contains its center.

    The blocks are rows of equal height in latitude, divided into columns of the same width along the middle parallel of
    each row: no projection preserves all distances, but this one keeps the blocks square.
    """
    # Projected coordinates instead of degrees, for example, would give meaningless blocks.
    missing = connection.execute(
        """
        SELECT count(*), min(tile_id), arg_min(bbox, tile_id) FROM chosen WHERE NOT coalesce(
            bbox.ymin BETWEEN -90 AND bbox.ymax AND bbox.ymax <= 90
            AND bbox.xmin BETWEEN -360 AND 360 AND bbox.xmax BETWEEN -360 AND 360, false)
        """
    ).fetchall()[0]
    if missing[0]:
        box = f" with {list(missing[2].values())}" if missing[2] else ""
        raise SplitError(
            "With split_by=block each tile must have a bbox: west, south, east, north in degrees. "
            f"Received: {missing[0]:,} tiles without a valid one, such as {missing[1]}{box}. Use split_by class, "
            "group or time, or drop these tiles with `data_where`."
        )
    degrees = metres / (EARTH_RADIUS_METRES * 3.141592653589793 / 180)
    connection.execute(
        """
        UPDATE chosen SET "group" = block.name FROM (
            SELECT row, line || ':' || floor(lon / least(360, $degrees / greatest(cos(radians(
                least(90, abs((line + 0.5) * $degrees)))), 1e-9)))::BIGINT AS name
            FROM (
                SELECT rowid AS row, floor((bbox.ymin + bbox.ymax) / 2 / $degrees)::BIGINT AS line,
                    (bbox.xmin + bbox.xmax) / 2 + CASE WHEN bbox.xmin > bbox.xmax THEN 180 ELSE 0 END AS lon
                FROM chosen
            )
        ) AS block WHERE chosen.rowid = block.row
        """,
        {"degrees": degrees},
    )


def _split_by_time(connection: "DuckDBPyConnection", fractions: Mapping[str, float]) -> None:
    """Put the oldest tiles into train and the newest into test; tiles with the same time stay together."""
    missing = connection.execute("SELECT count(*), min(tile_id) FROM chosen WHERE datetime IS NULL").fetchall()[0]
    if missing[0]:
        raise ParameterError(
            "With split_by=time each tile must have a time. "
            f"Received: {missing[0]:,} tiles without one, such as {missing[1]}. "
            f"{_remedy(connection, 'datetime', missing[0])}"
        )
    active = [split for split in SPLITS if fractions.get(split, 0) > 0]
    instants, total = connection.execute("SELECT count(DISTINCT datetime), count(*) FROM chosen").fetchall()[0]
    if instants < len(active):
        raise SplitError(
            f"A split by time needs tiles of at least {len(active)} different times, one for each of "
            f"{', '.join(active)}. Received: {instants} different times. Use split_by class, group or block."
        )
    ends = [round(total * sum(fractions[one] for one in active[:n])) for n in range(1, len(active))]
    cuts = _cut_times(connection, ends)
    cases = " ".join(f"WHEN number <= {cut} THEN '{split}'" for split, cut in zip(active[:-1], cuts, strict=True))
    connection.execute(
        f"""
        CREATE TABLE places AS
        WITH numbered AS (
            SELECT datetime, row_number() OVER (ORDER BY datetime) AS number FROM (SELECT DISTINCT datetime FROM chosen)
        ),
        placed AS (SELECT datetime, CASE {cases} ELSE '{active[-1]}' END AS split FROM numbered)
        SELECT chosen.rowid AS row, placed.split FROM chosen JOIN placed USING (datetime)
        """  # noqa: S608 - numbers and our own names
    )


def _cut_times(connection: "DuckDBPyConnection", ends: Sequence[int]) -> list[int]:
    """Return the number of times up to the end of each split but the last.

    The first tile of a time decides the split of all tiles of that time. Each split has at least one time, however
    many tiles the times have.

    Args:
        connection: a database with the table `chosen`.
        ends: number of tiles up to the end of each split but the last, as wanted.
    """
    counts = ", ".join(["count(*)", *(f"count(*) FILTER (before < {end})" for end in ends)])
    query = f"""
        SELECT {counts} FROM (
            SELECT sum(tiles) OVER (ORDER BY datetime) - tiles AS before
            FROM (SELECT datetime, count(*) AS tiles FROM chosen GROUP BY datetime)
        )
        """  # noqa: S608 - numbers
    [(instants, *found)] = connection.execute(query).fetchall()
    cuts: list[int] = []
    for place in range(len(ends)):
        least = cuts[-1] + 1 if cuts else 1
        cuts.append(min(max(found[place], least), instants - (len(ends) - place)))
    return cuts
