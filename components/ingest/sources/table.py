"""A table with one row per tile (CSV, TSV such as EcoTaxa's exports, or Parquet) and a column of image addresses.

DuckDB reads only the columns that are used. The header of a text file is read here, not detected by DuckDB, and its
values stay text, so that the class 007 does not become 7.
"""

import contextlib
import csv
import io
import logging
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from tilepipe.components.ingest.config import IngestConfig, SourceKind
from tilepipe.components.ingest.sources import table_columns
from tilepipe.components.ingest.sources.duckdb_files import parquet_relation, readable
from tilepipe.components.ingest.sources.href_columns import resolve
from tilepipe.components.shared.errors import SourceError, TilepipeError
from tilepipe.components.shared.runtime.database import literal
from tilepipe.components.shared.storage import storage

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

logger = logging.getLogger("tilepipe.ingest")

_TEXT_NAME = re.compile(r"\.([ct]sv)(\.gz)?$", re.IGNORECASE)
_HEADER_BYTES = 2**20
_DELIMITERS = (",", ";", "\t", "|")
_TYPES_ROW = re.compile(r"\[[tf]\]")
"""A cell of EcoTaxa's second row: [t] for a column of text, [f] for a column of numbers."""
_LINE = re.compile(r"Line: (\d+)")


def is_table(uri: str) -> bool:
    """Return True if a file is a table of tiles, by its name; a Parquet file must not have the column `assets` of STAC.

    Args:
        uri: normalized address.

    Returns:
        True for a table; False for a file that is not Parquet despite its name.

    Raises:
        SourceError: if there is no such file.
        StorageError: if the store cannot be reached, or denies access.
    """
    name = storage.path_of(uri)
    if _TEXT_NAME.search(name):
        return True
    if not name.lower().endswith(".parquet"):
        return False
    try:
        return "assets" not in _parquet_schema(uri).names
    except TilepipeError:  # some are OSErrors
        raise
    except (pa.ArrowException, OSError, struct.error):
        return False


@dataclass(frozen=True)
class _Header:
    """Header of a text file."""

    delimiter: str
    names: tuple[str, ...]
    lines: int
    """Number of lines before the first tile."""


@dataclass
class TableSource:
    """A table.

    Args:
        file: normalized address.
        config: parameters of the step.
        wanted: names that `where` uses.
    """

    file: str
    config: IngestConfig
    wanted: frozenset[str] = frozenset()
    kind: SourceKind = "table"

    @property
    def name(self) -> str:
        """Name of the file without its suffix."""
        name = PurePosixPath(storage.path_of(self.file)).name
        return re.sub(r"\.(csv|tsv|parquet)(\.gz)?$", "", name, flags=re.IGNORECASE)

    @property
    def _shown(self) -> str:
        return storage.shown(self.file)

    @contextlib.contextmanager
    def found(self, connection: "DuckDBPyConnection") -> Iterator[tuple[str, ...]]:
        """Create the view `found`, whose `uri` holds the images' addresses as written in the table.

        Yields:
            The files that DuckDB must be able to read.

        Raises:
            SourceError: if the file is missing, empty or malformed, or a column cannot be identified.
        """
        import duckdb

        with readable(connection, self.file) as path:
            try:
                is_text = _TEXT_NAME.search(storage.path_of(self.file)) is not None
                if is_text:
                    relation = self._load_text(connection, path)
                    described = connection.sql(f"FROM {relation}")
                    types = dict(zip(described.columns, described.types, strict=True))
                else:
                    relation, types = parquet_relation(connection, path)
                chosen = table_columns.choose(types, self.config, self._shown)
                query = table_columns.query(connection, relation, types, chosen, self.wanted, is_text=is_text)
                connection.execute(f"CREATE VIEW found AS {query}")
                if not connection.execute("SELECT 1 FROM found LIMIT 1").fetchall():
                    raise SourceError(f"A table must have one row per tile. Received: {self._shown} without rows.")
                table_columns.check_times(connection, relation, types, chosen, self.config, self._shown)
            except duckdb.Error as error:
                raise SourceError(
                    "A table must be a complete CSV, TSV or Parquet file. "
                    f"Received: {self._shown}, which reads as: {_reason(error, path, self._shown)}."
                ) from None
            yield () if is_text else (path,)

    def resolve_addresses(self, connection: "DuckDBPyConnection") -> None:
        """Replace the addresses in `chosen` by normalized ones.

        Raises:
            SourceError: if a tile has no address or no id, or an address is outside the allowed locations.
        """
        for column, what in (("uri", "data_columns.image"), ("tile_id", "data_columns.id")):
            query = f"SELECT count(*), min(tile_id) FROM chosen WHERE {column} IS NULL"  # noqa: S608
            without, example = connection.execute(query).fetchall()[0]
            if without:
                raise SourceError(
                    f"Each row must have the address of an image and an id. Received: {without:,} rows of "
                    f"{self._shown} with nothing in the column of {what}{f', such as {example}' if example else ''}. "
                    "Complete the table, or exclude such rows with `data_where`."
                )
        resolve(connection, storage.parent(self.file), self.config.href_rewrite, self._shown)

    def _load_text(self, connection: "DuckDBPyConnection", path: str) -> str:
        """Load a text file into a table, so that it is parsed only once."""
        header = _header(self.file)
        columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in header.names)
        # Not `header=true`: EcoTaxa's header is followed by a row of types.
        connection.execute(
            f"CREATE TABLE found_text AS SELECT {table_columns.needed(header.names, self.config, self.wanted)} "  # noqa: S608
            f"FROM read_csv({literal(path)}, auto_detect=false, delim={literal(header.delimiter)}, header=false, "
            f"quote='\"', escape='\"', skip={header.lines}, columns={{{columns}}}, "
            f"compression='{'gzip' if storage.path_of(self.file).lower().endswith('.gz') else 'none'}')"
        )
        return "found_text"


def _header(uri: str) -> _Header:
    """Read the first rows of a text file."""
    name, shown = storage.path_of(uri).lower(), storage.shown(uri)
    start = storage.read_range(uri, 0, min(_HEADER_BYTES, storage.size(uri)))
    if name.endswith(".gz"):
        try:
            start = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS).decompress(start, _HEADER_BYTES)
        except zlib.error as error:
            raise SourceError(f"A file named *.gz must be compressed with gzip. Received: {shown}: {error}.") from None
    try:
        text = start[: start.rfind(b"\n") + 1 or None].decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(f"A table must be UTF-8. Received: {shown}, which reads as: {error}.") from None
    if "\0" in text:
        raise SourceError(f"A table must be a text file. Received: {shown}, which contains zero bytes.")
    if not text.strip():
        raise SourceError(f"A table must have a header and one row per tile. Received: {shown}, which is empty.")
    is_tabs = _TEXT_NAME.search(name)[1] == "tsv"  # type: ignore[index]
    delimiter = "\t" if is_tabs else max(_DELIMITERS, key=lambda each: len(_first(text, each)[0]))
    names, lines = _first(text, delimiter)
    names = [name.strip() or f"column{place}" for place, name in enumerate(names)]
    repeated = sorted({name for name in names if [other.lower() for other in names].count(name.lower()) > 1})
    if repeated:
        raise SourceError(
            f"Each column must have a unique name. Received: {shown}, where {repeated} occur more than once."
        )
    below = text.splitlines()[lines : lines + 1]
    types = _first(below[0], delimiter)[0] if below else []
    if types and all(_TYPES_ROW.fullmatch(cell.strip()) for cell in types):
        lines += 1
    return _Header(delimiter, tuple(names), lines)


def _first(text: str, delimiter: str) -> tuple[list[str], int]:
    """Return the cells of the first row, and its number of lines."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        return next(reader, []), reader.line_num
    except csv.Error:  # a cell larger than the limit: not the delimiter of this file
        return [], 1


def _parquet_schema(uri: str) -> pa.Schema:
    """Read the schema of a Parquet file from its last bytes: https://parquet.apache.org/docs/file-format/."""
    size = storage.size(uri)
    length, magic = struct.unpack("<I4s", storage.read_range(uri, max(0, size - 8), min(8, size)))
    if magic != b"PAR1" or length + 12 > size:
        raise pa.ArrowInvalid("not a Parquet file")
    footer = storage.read_range(uri, size - 8 - length, length + 8)
    return pq.read_schema(pa.BufferReader(b"PAR1" + footer))


def _reason(error: Exception, path: str, file: str) -> str:
    """Return a DuckDB error with the number of the line, but not the line, which may hold anything."""
    said = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = re.sub(r"^[\w ]+ Error: ", "", said[0])
    place = _LINE.search(str(error))
    if place:
        what = next((line for line in said[1:] if not line.startswith("Original Line")), "")
        text = f"line {place[1]}: {what or text}"
    return text.replace(path, file).rstrip(". ")
