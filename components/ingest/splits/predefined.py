"""Splits that the source or the user has made already."""

import logging
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pyarrow as pa

from tilepipe.components.ingest.config import split_named
from tilepipe.components.shared.errors import SplitError
from tilepipe.components.shared.storage import storage

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

logger = logging.getLogger("tilepipe.ingest")


def split_by_files(connection: "DuckDBPyConnection", files: Mapping[str, str]) -> None:
    """Split as lists of names say.

    A name may be a tile's id, its file's name, or its file's name but for the suffix: EuroSAT's canonical lists say
    `Forest_1.jpg` for what is `Forest_1.tif` in the 13-band edition.

    Args:
        connection: a database with the table `chosen`; gets `places`.
        files: address of the list of each split, one name a line; empty lines and those that start with # are skipped.

    Raises:
        SplitError: a name fits no tile or several, or a tile is in two lists.
    """
    columns: dict[str, list[str]] = {"split": [], "list": [], "name": [], "stem": []}
    for split, address in files.items():
        uri = storage.normalise(address)
        for name in _read_names(uri):
            for column, value in zip(columns, (split, uri, name, PurePosixPath(name).stem), strict=True):
                columns[column].append(value)
    connection.register("listed", pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()}))
    connection.execute(
        r"""
        CREATE TABLE fitting AS
        WITH keys AS (
            SELECT rowid AS row, tile_id, regexp_extract(coalesce(member, uri), '[^/]*$') AS file FROM chosen
        ),
        by_id AS (SELECT listed.*, row FROM listed JOIN keys ON name = tile_id),
        by_file AS (
            SELECT listed.*, row FROM listed JOIN keys ON name = file
            WHERE name NOT IN (SELECT name FROM by_id)
        ),
        by_stem AS (
            SELECT listed.*, row FROM listed JOIN keys ON stem = regexp_replace(file, '(.)\.[^.]*$', '\1')
            WHERE name NOT IN (SELECT name FROM by_id UNION ALL SELECT name FROM by_file)
        )
        SELECT * FROM by_id UNION ALL SELECT * FROM by_file UNION ALL SELECT * FROM by_stem
        """
    )
    _check_files(connection)
    connection.execute("CREATE TABLE places AS SELECT DISTINCT row, split FROM fitting")
    connection.execute("DROP TABLE fitting")
    connection.unregister("listed")
    left_out, total = connection.execute(
        "SELECT (SELECT count(*) FROM chosen) - (SELECT count(*) FROM places), (SELECT count(*) FROM chosen)"
    ).fetchall()[0]
    if left_out:
        logger.warning("left out %s of %s tiles, which no list of split_files names", f"{left_out:,}", f"{total:,}")


def _read_names(uri: str) -> list[str]:
    try:
        lines = storage.read_bytes(uri).decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise SplitError(f"A list of split_files must be text. Received: {uri}, which gives: {error}.") from None
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _check_files(connection: "DuckDBPyConnection") -> None:
    several = connection.execute(
        """
        SELECT name, list, list(DISTINCT tile_id ORDER BY tile_id)[:2] FROM fitting JOIN chosen ON chosen.rowid = row
        GROUP BY name, list HAVING count(DISTINCT row) > 1 ORDER BY ALL LIMIT 1
        """
    ).fetchall()
    if several:
        name, uri, both = several[0]
        raise SplitError(f"A name in split_files must fit one tile. Received: {name} in {uri}, which is {both}.")
    twice = connection.execute(
        """
        SELECT tile_id, list(DISTINCT fitting.split) FROM fitting JOIN chosen ON chosen.rowid = row
        GROUP BY tile_id HAVING count(DISTINCT fitting.split) > 1 ORDER BY ALL LIMIT 1
        """
    ).fetchall()
    if twice:
        tile_id, splits = twice[0]
        raise SplitError(
            "A tile must be in one split, or what is measured has been trained on. Received: "
            f"{tile_id} in split_files {' and '.join(sorted(splits))}."
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
            "Each name in split_files must be the id or the file name of a tile. Received: "
            f"{count:,} of {total:,} names in {uri} that fit none, such as {', '.join(names)}; "
            f"the tiles are called {', '.join(name for (name,) in examples)}, ..."
        )


def split_by_property(connection: "DuckDBPyConnection", name: str) -> None:
    """Split as a property of the source's items, or a column of its table, says.

    Args:
        connection: a database with the table `chosen`, with what the property holds as `split`; gets `places`.
        name: the property's name, for messages.

    Raises:
        SplitError: the property is absent, or holds something that is no split's name.
    """
    counts = connection.execute("SELECT split, count(*), min(tile_id) FROM chosen GROUP BY split").fetchall()
    named = {value: split_named(value) if value else None for value, _, _ in counts}
    wrong = sorted((repr(value), count, example) for value, count, example in counts if named[value] is None)
    if wrong:
        total = sum(count for _, count, _ in counts)
        raise SplitError(
            "The property of split_property must hold train, val (or validate, validation) or test in every item. "
            f"Received: split_property={name!r}, and {sum(count for _, count, _ in wrong):,} of {total:,} items have "
            f"{', '.join(value for value, _, _ in wrong[:5])} there, such as {wrong[0][2]}."
        )
    connection.register("named", pa.table({"value": list(named), "name": [str(split) for split in named.values()]}))
    connection.execute(
        "CREATE TABLE places AS SELECT chosen.rowid AS row, named.name AS split FROM chosen "
        "JOIN named ON chosen.split = named.value"
    )
    connection.unregister("named")
