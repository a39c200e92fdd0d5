"""Access of DuckDB to a file, local or remote."""

import contextlib
import json
import re
import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from tilepipe.components.ingest.parameter_names import joined
from tilepipe.components.shared.errors import SourceError, TilepipeError
from tilepipe.components.shared.runtime.database import literal, plainly_named, quoted
from tilepipe.components.shared.storage import storage

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from duckdb.sqltypes import DuckDBPyType

WHOLE_NUMBER = "-?(0|[1-9][0-9]{0,17})"
"""Pattern, in Python and DuckDB, of whole numbers in text that fit into BIGINT; ids with leading zeros stay text."""
FILE, ROW = "tilepipe_file", "tilepipe_row"
"""Columns with the position of a row: the index of its file, and its number within the file, from 0."""

_NESTED = {"struct", "list", "array", "map"}


@contextlib.contextmanager
def readable(connection: "DuckDBPyConnection", uris: Sequence[str]) -> Iterator[list[str]]:
    """Yield the names under which DuckDB reads files.

    Files in a bucket or on the web are not copied: DuckDB reads ranges of them through the client in `shared.storage`.

    Args:
        connection: the database; only one context at a time may read remote files.
        uris: normalized addresses of the files, all local or all remote.

    Yields:
        One name per file.

    Raises:
        SourceError: if there is no such file.
    """
    if any(map(storage.is_remote, uris)):
        from tilepipe.components.ingest.sources.remote_files import RemoteFiles

        files = RemoteFiles(uris)
        connection.register_filesystem(files)
        yield files.names
        return
    for uri in uris:
        if not Path(uri).is_file():
            raise SourceError(f"A file must exist. Received: {uri}. Check the address.")
    with contextlib.ExitStack() as links:
        yield [links.enter_context(plainly_named(Path(uri))) for uri in uris]


def parquet_relation(
    connection: "DuckDBPyConnection",
    paths: Sequence[str],
    *,
    raw: Collection[str] = (),
    by_file: Mapping[str, Sequence[str | None]] = MappingProxyType({}),
    is_located: bool = False,
) -> "tuple[str, dict[str, DuckDBPyType]]":
    """Return Parquet files in SQL, with columns whose conditions are true of the same rows as those of a table.

    Writers leave NaN out of a column's minimum and maximum, and DuckDB decides conditions by these: `isnan(x)` is then
    false of every row, and `x < 50` is true of NaN. TRY hides the statistics of columns that may hold NaN, at no
    measurable cost; conditions on all other columns still skip row groups.

    Args:
        connection: the database.
        paths: names of the files for DuckDB; columns are matched by name.
        raw: columns to leave as they are, such as large structs of which single fields are read.
        by_file: columns to add, each with its text in each file, which are numbers if all are whole numbers without
            leading zeros; a column of the files themselves is kept.
        is_located: True to add the columns `FILE`, the index of a row's file in `paths`, and `ROW`, its number in the
            file. Defaults to False.

    Returns:
        The relation, as written after FROM, and the types of its columns other than `FILE` and `ROW`.

    Raises:
        SourceError: if columns are added, and one of the files has the name of a virtual column of DuckDB.
    """
    scan = f"read_parquet([{', '.join(map(literal, paths))}], union_by_name={len(paths) > 1}, hive_partitioning=false)"
    described = connection.sql(f"FROM {scan}")
    types = dict(zip(described.columns, described.types, strict=True))
    hidden = [
        f"{hide_statistics(name, kind)} AS {quoted(name)}"
        for name, kind in types.items()
        if name not in raw and _may_hold_nan(kind)
    ]
    if len(paths) > 1:  # DuckDB 2.0.0 fails on a field of a struct that one of the files lacks, unless within TRY
        for name in (name for name in raw if name in types and types[name].id == "struct"):
            fields = (f"{literal(key)}: TRY({quoted(name)}.{quoted(key)})" for key, _ in types[name].children)
            hidden.append(f"{{{', '.join(fields)}}} AS {quoted(name)}")
    own = {name.lower() for name in types}
    values = {name: of_files for name, of_files in by_file.items() if name.lower() not in own}
    kinds = {name: _kind(of_files) for name, of_files in values.items()}
    added = []
    for name, of_files in values.items():
        texts = ", ".join("NULL" if value is None else literal(value) for value in of_files)
        added.append(f"[{texts}][file_index::BIGINT + 1]::{kinds[name]} AS {quoted(name)}")
    if is_located:
        added += [f"file_index::BIGINT AS {FILE}", f"file_row_number::BIGINT AS {ROW}"]
    if added:
        if taken := sorted({"file_index", "file_row_number"} & own):
            raise SourceError(
                "A Parquet file with images, or in folders named after splits or as column=value, must not have a "
                f"column file_index or file_row_number, which DuckDB adds. Received: {taken[0]} in "
                f"{storage.shown(paths[0])}. Rename the column."
            )
        scan = f"(SELECT *, {', '.join(added)} FROM {scan})"  # noqa: S608
    types |= kinds
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


def _kind(texts: Sequence[str | None]) -> "DuckDBPyType":
    from duckdb import sqltypes

    is_number = all(re.fullmatch(WHOLE_NUMBER, text) for text in texts if text is not None)
    return sqltypes.BIGINT if is_number else sqltypes.VARCHAR


def check_names(columns: Collection[str], uris: Sequence[str]) -> None:
    """Check that no two columns of a Parquet file differ only in case.

    DuckDB would give the first of them for both, and calls the second `label_1`.

    Raises:
        SourceError: if two do.
    """
    lower = {name.lower() for name in columns}
    if not any((end := re.fullmatch(r"(.+)_\d+", name)) and end[1].lower() in lower for name in columns):
        return
    for uri in uris:
        names = _parquet_schema(uri).names
        spelled = [name.lower() for name in names]
        if repeated := sorted(name for name in names if spelled.count(name.lower()) > 1):
            raise SourceError(
                "Each column must have a name that is unique without regard to case. Received: "
                f"{storage.shown(uri)} with the columns {joined(repeated)}. Rename or drop all but one."
            )


def is_stac_parquet(uri: str) -> bool | None:
    """Return True if a Parquet file has the column `assets` of STAC; None if it is not a Parquet file.

    Raises:
        SourceError: if there is no such file, or the names of its columns are not UTF-8.
        StorageError: if the store cannot be reached, or denies access.
    """
    try:
        return "assets" in _parquet_schema(uri).names
    except TilepipeError:  # some are OSErrors
        raise
    except (pa.ArrowException, OSError, struct.error):
        return None


def _parquet_schema(uri: str) -> pa.Schema:
    """Read the schema of a Parquet file from its last bytes: https://parquet.apache.org/docs/file-format/."""
    size = storage.size(uri)
    length, magic = struct.unpack("<I4s", storage.read_range(uri, max(0, size - 8), min(8, size)))
    if magic != b"PAR1" or length + 12 > size:
        raise pa.ArrowInvalid("not a Parquet file")
    footer = storage.read_range(uri, size - 8 - length, length + 8)
    try:
        return pq.read_schema(pa.BufferReader(b"PAR1" + footer))
    except UnicodeDecodeError as error:
        raise SourceError(
            "The names of the columns of a Parquet file must be UTF-8. Received: "
            f"{storage.shown(uri)} with {error.object[:80]!r}. Write the file again with its text as UTF-8."
        ) from None


def fields(kind: "DuckDBPyType") -> "dict[str, DuckDBPyType]":
    """Return the fields of a struct by name; for a list, its element as `child`."""
    return cast("dict[str, DuckDBPyType]", dict(kind.children)) if kind.id in {"struct", "list"} else {}


def json_metadata(connection: "DuckDBPyConnection", paths: Sequence[str], keys: Sequence[str]) -> dict[str, list[Any]]:
    """Return the metadata of Parquet files that are JSON, by key; of one file first, then those that differ."""
    listed = ", ".join(f"{literal(key)}::BLOB" for key in keys)
    query = (
        f"SELECT key::VARCHAR, value FROM parquet_kv_metadata(?) WHERE key IN ({listed}) "  # noqa: S608
        "GROUP BY key, value ORDER BY min(file_name)"
    )
    found: dict[str, list[Any]] = {}
    for key, value in connection.execute(query, [list(paths)]).fetchall():
        with contextlib.suppress(ValueError):
            found.setdefault(key, []).append(json.loads(bytes(value)))
    return found
