"""Splits that the source or the user has defined: lists of names, a property, or folders."""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pyarrow as pa

from tilepipe.components.ingest.config import IngestConfig, split_named
from tilepipe.components.shared.errors import SplitError
from tilepipe.components.shared.storage import storage

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

logger = logging.getLogger("tilepipe.ingest")

_SUFFIX = r"(?i)(.)\.(jpe?g|png|tiff?|bmp|webp|gif|jp2|npy|npz|mat|h5|hdf5?|img|xml|json|txt)$"
"""Suffixes that names may differ in. `tile_1.5` keeps its dot: `tile_1` is another tile."""

_FITTING = r"""
    CREATE TABLE fitting AS
    WITH names AS (
        SELECT DISTINCT name, regexp_replace(replace(nfc_normalize(name), '\', '/'), '^(\./)+', '') AS whole FROM listed
    ),
    parts AS (
        SELECT *, regexp_replace(whole, $suffix, '\1') AS stem, len(string_split(whole, '/')) AS depth FROM names
    ),
    wanted AS (  -- a name may have no suffix, but a dot
        SELECT *, whole AS key FROM parts UNION SELECT *, stem AS key FROM parts
    ),
    depths AS (SELECT DISTINCT depth FROM parts),
    tiles AS (
        SELECT row, tile_id, nfc_normalize(tile_id) AS id, nfc_normalize(
            CASE WHEN uri LIKE 'http%' THEN regexp_replace(uri, '[?#].*$', '') ELSE uri END
            || coalesce('/' || member, '')
        ) AS path
        FROM (
            SELECT rowid AS row, tile_id, uri, member FROM chosen
            UNION ALL SELECT -1 - rowid, tile_id, uri, member FROM unselected
        )
    ),
    paths AS (
        SELECT row, tile_id, id, string_split(path, '/') AS parts FROM tiles
        UNION ALL SELECT row, tile_id, id, string_split(id, '/') AS parts FROM tiles WHERE NOT ends_with(path, id)
    ),
    ends AS (
        SELECT row, tile_id, depth, array_to_string(list_slice(parts, -depth, -1), '/') AS whole, whole = id AS is_id
        FROM paths JOIN depths ON len(parts) >= depth
    ),
    keys AS (SELECT *, regexp_replace(whole, $suffix, '\1') AS stem FROM ends),
    fits AS (  -- the lower the rank, the closer
        SELECT wanted.name, row, tile_id, CASE
            WHEN wanted.name = tile_id THEN 0
            WHEN wanted.whole = keys.whole THEN CASE WHEN is_id THEN 1 ELSE 2 END
            WHEN wanted.whole = keys.stem THEN CASE WHEN is_id THEN 3 ELSE 4 END
            ELSE CASE WHEN is_id THEN 5 ELSE 6 END END AS rank
        FROM wanted JOIN keys ON wanted.depth = keys.depth AND wanted.key = keys.stem
    ),
    closest AS (
        SELECT DISTINCT fits.name, row, tile_id FROM fits
        JOIN (SELECT name, min(rank) AS rank FROM fits GROUP BY name) AS best
        ON fits.name = best.name AND fits.rank = best.rank
    )
    SELECT listed.*, row, tile_id FROM listed JOIN closest USING (name)
"""
"""One row per listed name and tile that it fits; the rows of tiles that were not chosen are negative."""


def keep_unselected(connection: "DuckDBPyConnection") -> None:
    """Keep the names of the tiles in `found` but not in `chosen`, as `unselected` for `split_by_files`."""
    connection.execute(
        """
        CREATE TABLE unselected AS SELECT tile_id, uri, member FROM found
        WHERE tile_id NOT IN (SELECT tile_id FROM chosen WHERE tile_id IS NOT NULL)
        """
    )


def split_by_files(connection: "DuckDBPyConnection", files: Mapping[str, str]) -> None:
    """Split by lists of names.

    A name is the id of a tile, or the end of its id or its file's path, with or without the suffix of an image.
    Everything that a name states must match, folders too; only the suffix may differ, because EuroSAT's canonical lists
    name `Forest_1.jpg` also for `Forest_1.tif` of the 13-band edition. Names are compared in Unicode normal form NFC,
    and backslashes, as in lists from Windows, count as slashes. Names of tiles that were not chosen are ignored, and
    logged with their number.

    Args:
        connection: a database with the table `chosen`, and `unselected` where tiles were not chosen; gets `places`.
        files: split -> address of its list, one name per line; empty lines and lines that start with # are skipped.

    Raises:
        SplitError: if a name fits no tile or several tiles, or a tile is in two lists.
    """
    columns: dict[str, list[str]] = {"split": [], "list": [], "name": []}
    for split, address in files.items():
        uri = storage.normalize(address)
        for name in _read_names(uri):
            for column, value in zip(columns, (split, uri, name), strict=True):
                columns[column].append(value)
    connection.register("listed", pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()}))
    connection.execute("CREATE TABLE IF NOT EXISTS unselected (tile_id VARCHAR, uri VARCHAR, member VARCHAR)")
    connection.execute(_FITTING, {"suffix": _SUFFIX})
    _check_files(connection)
    connection.execute("CREATE TABLE places AS SELECT DISTINCT row, split FROM fitting WHERE row >= 0")
    ignored, left_out, total = connection.execute(
        """
        SELECT (SELECT count(DISTINCT row) FROM fitting WHERE row < 0),
            (SELECT count(*) FROM chosen) - (SELECT count(*) FROM places), (SELECT count(*) FROM chosen)
        """
    ).fetchall()[0]
    connection.execute("DROP TABLE fitting")
    connection.execute("DROP TABLE unselected")
    connection.unregister("listed")
    if ignored:
        logger.info("ignored %s names in split_files whose tiles were not selected", f"{ignored:,}")
    if left_out:
        logger.warning("dropped %s of %s tiles that are not listed in split_files", f"{left_out:,}", f"{total:,}")


def _read_names(uri: str) -> list[str]:
    try:
        lines = storage.read_bytes(uri).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise SplitError(
            f"A list of split_files must be UTF-8 text. Received: {uri}, which reads as: {error}."
        ) from None
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _check_files(connection: "DuckDBPyConnection") -> None:
    several = connection.execute(
        """
        SELECT name, list, list(DISTINCT tile_id ORDER BY tile_id)[:2] FROM fitting
        GROUP BY name, list HAVING count(DISTINCT row) > 1 ORDER BY ALL LIMIT 1
        """
    ).fetchall()
    if several:
        name, uri, both = several[0]
        raise SplitError(
            "A name in split_files must match one tile. "
            f"Received: {name} in {uri}, which matches {' and '.join(both)}. Use the ids of the tiles."
        )
    twice = connection.execute(
        """
        SELECT tile_id, list(DISTINCT fitting.split) FROM fitting
        GROUP BY tile_id HAVING count(DISTINCT fitting.split) > 1 ORDER BY ALL LIMIT 1
        """
    ).fetchall()
    if twice:
        tile_id, splits = twice[0]
        raise SplitError(
            "A tile must be in one split only, or the model is evaluated on tiles it was trained on. Received: "
            f"{tile_id} in the lists of {' and '.join(sorted(splits))}. Remove it from one of them."
        )
    unknown = connection.execute(
        """
        SELECT list, count(*) FILTER (NOT known), count(*), list(name ORDER BY line) FILTER (NOT known)[:3] FROM (
            SELECT *, row_number() OVER () AS line, name IN (SELECT name FROM fitting) AS known FROM listed
        ) GROUP BY list HAVING count(*) FILTER (NOT known) > 0 ORDER BY list
        """
    ).fetchall()
    if unknown:
        uri, count, total, names = unknown[0]
        examples = connection.execute("SELECT tile_id FROM chosen ORDER BY tile_id LIMIT 3").fetchall()
        raise SplitError(
            "Each name in split_files must be the id of a tile or the end of its path; only suffixes may differ. "
            f"Received: {count:,} of {total:,} names in {uri} that match no tile, such as {', '.join(names)}; "
            f"ids of tiles are {', '.join(name for (name,) in examples)}, ... "
            "Correct the list, or complete the source."
        )


def split_by_property(connection: "DuckDBPyConnection", name: str) -> None:
    """Split by a property of the source's items, or by a column of its table.

    Args:
        connection: a database with the table `chosen`, whose `split` holds the property; gets `places`.
        name: name of the property, for messages.

    Raises:
        SplitError: if the property is missing, or its value is not the name of a split.
    """
    counts = connection.execute("SELECT split, count(*), min(tile_id) FROM chosen GROUP BY split").fetchall()
    named = {value: split_named(value) if value else None for value, _, _ in counts}
    wrong = sorted((repr(value), count, example) for value, count, example in counts if named[value] is None)
    if wrong:
        total = sum(count for _, count, _ in counts)
        raise SplitError(
            "The property of split_property must be train, val (or validation, valid, dev) or test for every tile. "
            f"Received: split_property={name!r}, and {sum(count for _, count, _ in wrong):,} of {total:,} tiles have "
            f"{', '.join(value for value, _, _ in wrong[:5])}, such as {wrong[0][2]}."
        )
    connection.register("named", pa.table({"value": list(named), "name": [str(split) for split in named.values()]}))
    connection.execute(
        "CREATE TABLE places AS SELECT chosen.rowid AS row, named.name AS split FROM chosen "
        "JOIN named ON chosen.split = named.value"
    )
    connection.unregister("named")


def has_split_folders(connection: "DuckDBPyConnection", config: IngestConfig) -> bool:
    """Return True if folders of the source define the splits and no parameter overrides them."""
    if config.split_files or config.split_property or config.split_by != "class":
        return False
    return bool(connection.execute("SELECT count(split) > 0 FROM chosen").fetchall()[0][0])


def lacks_val(connection: "DuckDBPyConnection", config: IngestConfig) -> bool:
    """Return True if the source states splits, and among them train, but not val."""
    if not config.needs_labels or config.split_merge_train_val:
        return False
    if not config.split_property and not has_split_folders(connection, config):
        return False
    query = "SELECT DISTINCT split FROM chosen WHERE split IS NOT NULL"
    stated = {split_named(value) for (value,) in connection.execute(query).fetchall()}
    return "train" in stated and "val" not in stated


def draw_val_from_train(connection: "DuckDBPyConnection", fractions: Mapping[str, float], seed: int) -> None:
    """Move tiles from train to val, in the same proportion of each class; those of one unit stay together.

    Args:
        connection: a database with the tables `chosen` and `places`.
        fractions: fractions of all tiles in train and val, by whose ratio train is divided.
        seed: seed of the order of the tiles.
    """
    share = fractions["val"] / (fractions["train"] + fractions["val"])
    connection.execute(
        """
        UPDATE places SET split = 'val' WHERE row IN (
            SELECT row FROM (
                SELECT row, label, dense_rank() OVER (PARTITION BY label ORDER BY md5(? || ':' || unit), unit) AS rank
                FROM (
                    SELECT row, label, coalesce(tilepipe_unit, tile_id) AS unit
                    FROM chosen JOIN places ON chosen.rowid = places.row WHERE places.split = 'train'
                )
            ) JOIN (
                SELECT label, count(DISTINCT coalesce(tilepipe_unit, tile_id)) AS units
                FROM chosen JOIN places ON chosen.rowid = places.row WHERE places.split = 'train' GROUP BY label
            ) USING (label)
            WHERE units > 1 AND rank <= greatest(1, round(? * units))
        )
        """,
        [str(seed), share],
    )
    [(drawn,)] = connection.execute("SELECT count(*) FROM places WHERE split = 'val'").fetchall()
    logger.warning(
        "the source states no tiles for val: %s tiles, %.0f %% of each class, are taken from train",
        f"{drawn:,}",
        100 * share,
    )
