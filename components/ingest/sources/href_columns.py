"""Resolution of the addresses of millions of tiles: each folder once in Python, the file names in SQL."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pyarrow as pa

from tilepipe.components.ingest.sources.hrefs import HrefResolver
from tilepipe.components.shared.errors import SourceError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_PLAIN = (
    "regexp_full_match(href_name(href), '[A-Za-z0-9_.~-]+') AND href_name(href) NOT IN ('.', '..') "
    "AND NOT regexp_matches(href, '^file:|[?#]')"
)
"""SQL: True if an address can be resolved by its folder, because its last part is the same in every normalization."""

_MACROS = (
    "CREATE TEMP MACRO href_name(href) AS regexp_extract(href, '[^/]*$')",
    f"CREATE TEMP MACRO href_plain(href) AS {{by_folder}} AND {_PLAIN}",
    "CREATE TEMP MACRO href_key(href) AS "
    "CASE WHEN href_plain(href) THEN 'folder ' || href[:-len(href_name(href)) - 1] ELSE 'whole ' || href END",
    "CREATE TEMP MACRO href_rest(href) AS CASE WHEN href_plain(href) THEN href_name(href) ELSE '' END",
)


def resolve(connection: "DuckDBPyConnection", folder: str, rewrite: Mapping[str, str], where: str) -> None:
    """Replace the hrefs in `uri` and `band_uris` of the table `chosen` by normalized addresses.

    Args:
        connection: a database with the table `chosen`.
        folder: normalized address of the folder that relative hrefs refer to.
        rewrite: prefix -> replacement.
        where: the source, for messages.

    Raises:
        SourceError: if an href is missing, or refers to an address outside the source.
    """
    # A prefix to be replaced may end within a file name.
    by_folder = all(prefix.endswith("/") for prefix in rewrite)
    for macro in _MACROS:
        connection.execute(macro.format(by_folder=by_folder))
    connection.register("prefixes", _prefixes(connection, HrefResolver(folder, rewrite), folder, where))
    # Creating a new table takes half the time of an UPDATE of one column.
    connection.execute(
        """
        CREATE TABLE settled AS SELECT chosen.* REPLACE (prefix || href_rest(uri) AS uri)
        FROM chosen JOIN prefixes ON href_key(uri) = prefixes.key
        """
    )
    connection.execute("DROP TABLE chosen")
    connection.execute("ALTER TABLE settled RENAME TO chosen")
    connection.execute(
        """
        UPDATE chosen SET band_uris = several.uris FROM (
            SELECT row, list(prefix || href_rest(href) ORDER BY place) AS uris
            FROM (
                SELECT rowid AS row, unnest(range(len(band_uris))) AS place, unnest(band_uris) AS href
                FROM chosen WHERE band_uris IS NOT NULL
            ) JOIN prefixes ON href_key(href) = prefixes.key GROUP BY row
        ) AS several WHERE chosen.rowid = several.row
        """
    )
    connection.unregister("prefixes")


def _prefixes(connection: "DuckDBPyConnection", resolver: HrefResolver, folder: str, where: str) -> pa.Table:
    """Resolve each folder, and each href that must be resolved as a whole."""
    keys = connection.execute(
        """
        SELECT href_key(href), min(href), min(row) FROM (
            SELECT rowid AS row, uri AS href FROM chosen WHERE band_uris IS NULL
            UNION ALL SELECT rowid, unnest(band_uris) FROM chosen WHERE band_uris IS NOT NULL
        ) GROUP BY 1 ORDER BY 1
        """
    ).fetchall()
    prefixes = []
    for key, href, row in keys:
        try:
            uri = resolver.resolve(href, folder, where)
        except SourceError:  # again, with the name of the tile in the message
            tile = connection.execute("SELECT tile_id FROM chosen WHERE rowid = ?", [row]).fetchall()[0][0]
            resolver.resolve(href, folder, f"item {tile} ({where})")
            raise
        is_folder = str(key).startswith("folder ")
        prefixes.append(uri.removesuffix(href.rpartition("/")[2]) if is_folder else uri)
    names = [key for key, _, _ in keys]
    return pa.table({"key": pa.array(names, pa.string()), "prefix": pa.array(prefixes, pa.string())})
