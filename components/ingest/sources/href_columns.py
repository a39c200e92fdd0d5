"""Resolution of the addresses of millions of tiles: each folder once, since most files are in few folders."""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from tilepipe.components.ingest.sources.hrefs import HrefResolver

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_PLAIN_NAME = re.compile(r"(?!\.\.?$)[A-Za-z0-9_.~-]+")
"""Last part of an address that is the same in every normalization, so that its folder is enough to resolve it."""


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
    import duckdb
    from duckdb.func import FunctionNullHandling, PythonUDFType

    resolver = HrefResolver(folder, rewrite)
    one = _by_folder(resolver, folder, rewrite, where)

    def several(hrefs: list[str | None] | None) -> list[str] | None:
        return None if hrefs is None else [one(href) for href in hrefs]

    text = duckdb.sqltype("VARCHAR")
    columns = ("uri", one, text), ("band_uris", several, duckdb.list_type(text))
    for column, function, kind in columns:  # rewriting a column takes a fourth of the time of a new table
        name = f"resolve_{column}"
        connection.create_function(
            name, function, [kind], kind, type=PythonUDFType.NATIVE, null_handling=FunctionNullHandling.SPECIAL
        )
        rewritten = f"ALTER TABLE chosen ALTER {column} TYPE {kind} USING {name}({column})"
        try:
            connection.execute(rewritten)
        except duckdb.InvalidInputException:
            _refuse(connection, resolver, folder, where)
            # Otherwise the address is that of a dropped tile: DuckDB rewrites deleted rows too.
            connection.execute("CREATE TABLE kept AS SELECT * FROM chosen")
            connection.execute("DROP TABLE chosen")
            connection.execute("ALTER TABLE kept RENAME TO chosen")
            connection.execute(rewritten)
        finally:
            connection.remove_function(name)


def _by_folder(
    resolver: HrefResolver, folder: str, rewrite: Mapping[str, str], where: str
) -> Callable[[str | None], str]:
    prefixes: dict[str, str] = {}
    whole = not all(prefix.endswith("/") for prefix in rewrite)  # a prefix may end within a file name

    def resolved(href: str | None) -> str:
        end = href.rfind("/") + 1 if href else 0
        if not href or whole or not _PLAIN_NAME.fullmatch(href, end):
            return resolver.resolve(href, folder, where)
        parent, name = href[:end], href[end:]
        prefix = prefixes.get(parent)
        if prefix is None:
            address = resolver.resolve(href, folder, where)
            if parent.startswith("file:") or "?" in parent or "#" in parent:
                return address
            prefix = prefixes[parent] = address.removesuffix(name)
        return prefix + name

    return resolved


def _refuse(connection: "DuckDBPyConnection", resolver: HrefResolver, folder: str, where: str) -> None:
    """Raise the error of the first href that cannot be resolved, with the name of its tile."""
    query = "SELECT tile_id, coalesce(band_uris, [uri]) FROM chosen ORDER BY tile_id"
    for batch in connection.sql(query).to_arrow_reader(8192):
        for tile, hrefs in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            for href in hrefs:
                resolver.resolve(href, folder, f"item {tile} ({where})")
