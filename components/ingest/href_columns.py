"""The addresses of millions of tiles, resolved by their folders: each folder once, in Python, and the rest in SQL."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pyarrow as pa

from tilepipe.components.ingest.hrefs import HrefResolver
from tilepipe.components.shared.errors import SourceError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_PLAIN = (
    "regexp_full_match(name, '[A-Za-z0-9_.~-]+') AND name NOT IN ('.', '..') "
    "AND NOT regexp_matches(href, '^file:|[?#]')"
)
"""What may be resolved by its folder: its last part is a name that every kind of address spells as it stands."""

_KEYS = f"""
    SELECT row, place, href, CASE WHEN $by_folder AND {_PLAIN} THEN name END AS name,
        CASE WHEN $by_folder AND {_PLAIN} THEN href[:-len(name) - 1] ELSE href END AS key
    FROM (SELECT *, regexp_extract(href, '[^/]*$') AS name FROM hrefs)
"""  # noqa: S608


def resolve(connection: "DuckDBPyConnection", folder: str, rewrite: Mapping[str, str], where: str) -> None:
    """Put what their hrefs lead to in the place of `uri` and `band_uris` of the table `chosen`.

    Args:
        connection: a database with the table `chosen`.
        folder: what relative hrefs are relative to, normalised.
        rewrite: prefixes of addresses, and what stands for them.
        where: the source, for messages.

    Raises:
        SourceError: an href is missing, or leads out of the source.
    """
    connection.execute(
        """
        CREATE VIEW hrefs AS SELECT rowid AS row, 0 AS place, uri AS href FROM chosen WHERE band_uris IS NULL
        UNION ALL
        SELECT rowid, unnest(range(1, len(band_uris) + 1)), unnest(band_uris) FROM chosen WHERE band_uris IS NOT NULL
        """
    )
    resolver = HrefResolver(folder, rewrite)
    # A prefix that is to be rewritten may end within a file's name.
    by_folder = {"by_folder": all(prefix.endswith("/") for prefix in rewrite)}
    query = f"SELECT key, name IS NOT NULL, arg_min(name, href), min(href), min(row) FROM ({_KEYS}) GROUP BY 1, 2"  # noqa: S608
    keys = connection.execute(query, by_folder).fetchall()
    columns: dict[str, list[str | bool]] = {"key": [], "is_folder": [], "prefix": []}
    for key, is_folder, name, href, row in keys:
        try:
            uri = resolver.resolve(href, folder, where)
        except SourceError:  # once more, with the name of the tile
            tile = connection.execute("SELECT tile_id FROM chosen WHERE rowid = ?", [row]).fetchall()[0][0]
            resolver.resolve(href, folder, f"item {tile} ({where})")
            raise
        columns["key"].append(key)
        columns["is_folder"].append(is_folder)
        columns["prefix"].append(uri.removesuffix(name) if is_folder else uri)
    connection.register("prefixes", pa.table(columns))
    connection.execute(
        f"""
        CREATE TABLE resolved AS
        SELECT row, place, prefix || coalesce(name, '') AS uri FROM ({_KEYS}) AS keyed JOIN prefixes
        ON keyed.key = prefixes.key AND (name IS NOT NULL) = is_folder
        """,  # noqa: S608
        by_folder,
    )
    connection.unregister("prefixes")
    connection.execute("UPDATE chosen SET uri = resolved.uri FROM resolved WHERE chosen.rowid = row AND place < 2")
    connection.execute(
        "UPDATE chosen SET band_uris = several.uris FROM ("
        "SELECT row, list(uri ORDER BY place) AS uris FROM resolved WHERE place > 0 GROUP BY row"
        ") AS several WHERE chosen.rowid = several.row"
    )
    connection.execute("DROP TABLE resolved")
    connection.execute("DROP VIEW hrefs")
