"""The view `found`: all tiles of a source in a database, the input of selection and splits."""

import contextlib
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import pyarrow as pa

from tilepipe.components.ingest.sources.tile_row import RowSource, TileRow, TileSource
from tilepipe.components.shared.contracts.geometry_column import CORNERS
from tilepipe.components.shared.contracts.tile_table import SCHEMA
from tilepipe.components.shared.runtime.database import quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_SQL_TYPES = {
    pa.string(): "VARCHAR",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.binary(): "BLOB",
    pa.timestamp("us", tz="UTC"): "TIMESTAMPTZ",
}


def _sql_type(kind: pa.DataType) -> str:
    if isinstance(kind, pa.ListType):
        return f"{_sql_type(kind.value_type)}[]"
    if isinstance(kind, pa.StructType):
        return f"STRUCT({', '.join(f'{child.name} {_sql_type(child.type)}' for child in kind)})"
    return _SQL_TYPES[kind]


STATED = {"bands": pa.list_(pa.string()), "stated_raster": pa.string(), "stated_sensor": pa.string()}
"""Name -> type of the columns with what the source states of the pixels."""
_ARROW = pa.schema([*((field.name, field.type) for field in SCHEMA), *STATED.items()])
_OF_TABLES = {"tilepipe_unit": "VARCHAR", "tilepipe_label_status": "VARCHAR"}
COLUMNS = {field.name: _sql_type(field.type) for field in _ARROW} | _OF_TABLES
"""Name -> SQL type of the columns of `found`: those of the tile table, and what the source states.

`split` is the source's own name of the split, `bands` are the names that it states, `stated_raster` its JSON on nodata,
scale and offset, and `stated_sensor` its JSON on common names of the bands and platform. Tiles with the same
`tilepipe_unit` stay in one split when classes are split at random; `tilepipe_label_status` is EcoTaxa's status of the
label. `where` may also use the source's own columns.
"""

_BATCH_ROWS = 8192


@runtime_checkable
class ColumnSource(TileSource, Protocol):
    """A source that DuckDB reads directly, which is much faster than rows created in Python."""

    def found(self, connection: "DuckDBPyConnection") -> AbstractContextManager[tuple[str, ...]]:
        """Create the view or table `found`, valid within the context; yield the files that it reads.

        Raises:
            SourceError: if the source is missing or malformed.
        """

    def resolve_addresses(self, connection: "DuckDBPyConnection") -> None:
        """Replace the addresses in the table `chosen`, once it exists, by normalized ones.

        Raises:
            SourceError: if a tile is malformed, or refers to an address outside the source.
        """


@contextlib.contextmanager
def open_source_view(
    source: RowSource | ColumnSource, connection: "DuckDBPyConnection", wanted: frozenset[str]
) -> Iterator[tuple[str, ...]]:
    """Create the view `found` of all tiles of a source in an empty database, valid within the context.

    Yields:
        The files that the view reads.

    Raises:
        SourceError: if the source is missing or malformed, or refers to an address outside itself.
    """
    if isinstance(source, ColumnSource):
        with source.found(connection) as files:
            yield files
        return
    extra = sorted(wanted - COLUMNS.keys())
    columns = [f"{quoted(name)} {kind}" for name, kind in COLUMNS.items()]
    columns += [f"{quoted(name)} JSON" for name in extra]
    connection.execute(f"CREATE TABLE found_rows ({', '.join(columns)})")
    rows = iter(source.rows())
    while batch := list(itertools.islice(rows, _BATCH_ROWS)):
        connection.register("batch", _arrow(batch, extra))
        connection.execute("INSERT INTO found_rows BY NAME SELECT * FROM batch")
        connection.unregister("batch")
    # A name that no tile has becomes no column, so that its use in `where` is an error.
    typed = "".join(f", {kind} AS {quoted(name)}" for name in extra if (kind := _typed(connection, name)))
    common = ", ".join(map(quoted, COLUMNS))
    connection.execute(f"CREATE VIEW found AS SELECT {common}{typed} FROM found_rows")  # noqa: S608
    yield ()


def _arrow(rows: Sequence[TileRow], extra: Iterable[str]) -> pa.Table:
    columns: dict[str, Any] = {name: [getattr(row, name) for row in rows] for name in _ARROW.names}
    columns["bbox"] = [dict(zip(CORNERS, row.bbox, strict=True)) if row.bbox else None for row in rows]
    columns["bands"] = [row.bands or None for row in rows]
    schema = _ARROW
    for name in extra:
        values = [row.properties.get(name) for row in rows]
        columns[name] = [None if value is None else json.dumps(value, default=str) for value in values]
        schema = schema.append(pa.field(name, pa.string()))
    return pa.table(columns, schema=schema)


def _typed(connection: "DuckDBPyConnection", name: str) -> str:
    """Return an expression for a property in the common type of its values, so that numbers are compared as numbers.

    Empty for a property that no row has.
    """
    column = quoted(name)
    query = f"SELECT DISTINCT json_type({column}) FROM found_rows WHERE {column} IS NOT NULL"  # noqa: S608
    kinds = {str(kind) for (kind,) in connection.execute(query).fetchall()}
    if not kinds:
        return ""
    if kinds <= {"BIGINT", "UBIGINT"}:
        return f"{column}::BIGINT"
    if kinds <= {"BIGINT", "UBIGINT", "DOUBLE"}:
        return f"{column}::DOUBLE"
    if kinds == {"BOOLEAN"}:
        return f"{column}::BOOLEAN"
    return f"{column} ->> '$'"
