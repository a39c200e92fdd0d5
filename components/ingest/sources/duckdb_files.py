"""Access of DuckDB to a file, local or remote."""

import contextlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.runtime.database import literal, plainly_named, quoted
from tilepipe.components.shared.storage import storage

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from duckdb.sqltypes import DuckDBPyType

_NESTED = {"struct", "list", "array", "map"}


@contextlib.contextmanager
def readable(connection: "DuckDBPyConnection", uri: str) -> Iterator[str]:
    """Yield the name under which DuckDB reads a file.

    A file in a bucket or on the web is not copied: DuckDB reads ranges of it through the client in `shared.storage`.

    Args:
        connection: the database.
        uri: normalized address of the file.

    Yields:
        The name.

    Raises:
        SourceError: if there is no such file.
    """
    if storage.is_remote(uri):
        from tilepipe.components.ingest.sources.remote_files import RemoteFiles

        connection.register_filesystem(RemoteFiles(uri))
        yield RemoteFiles.name(uri)
        return
    if not Path(uri).is_file():
        raise SourceError(f"A file must exist. Received: {uri}. Check the address.")
    with plainly_named(Path(uri)) as name:
        yield name


def parquet_relation(
    connection: "DuckDBPyConnection", path: str, *, raw: Collection[str] = ()
) -> "tuple[str, dict[str, DuckDBPyType]]":
    """Return a Parquet file in SQL, with columns whose conditions are true of the same rows as those of a table.

    Writers leave NaN out of a column's minimum and maximum, and DuckDB decides conditions by these: `isnan(x)` is then
    false of every row, and `x < 50` is true of NaN. TRY hides the statistics of columns that may hold NaN, at no
    measurable cost; conditions on all other columns still skip row groups.

    Args:
        connection: the database.
        path: name of the file for DuckDB.
        raw: columns to leave as they are, such as large structs of which single fields are read.

    Returns:
        The relation, as written after FROM, and the types of its columns.
    """
    scan = f"read_parquet({literal(path)})"
    described = connection.sql(f"FROM {scan}")
    types = dict(zip(described.columns, described.types, strict=True))
    hidden = [
        f"{hide_statistics(name, kind)} AS {quoted(name)}"
        for name, kind in types.items()
        if name not in raw and _may_hold_nan(kind)
    ]
    return f"(SELECT * REPLACE ({', '.join(hidden)}) FROM {scan})" if hidden else scan, types  # noqa: S608


def hide_statistics(name: str, kind: "DuckDBPyType") -> str:
    """Return a column in SQL without its statistics if it may hold NaN, else the plain column."""
    return f"TRY({quoted(name)})" if _may_hold_nan(kind) else quoted(name)


def _may_hold_nan(kind: "DuckDBPyType") -> bool:
    if kind.id in {"float", "double"}:
        return True
    # The children of an array are its element and its length.
    return kind.id in _NESTED and any(
        _may_hold_nan(child) for _, child in kind.children if isinstance(child, type(kind))
    )
