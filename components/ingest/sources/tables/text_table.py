"""Text files of a table (CSV, TSV), loaded into one table of the database.

The header is read here, not detected by DuckDB, and all values stay text, so that the class 007 does not become 7.
"""

import codecs
import contextlib
import csv
import gzip
import io
import logging
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tilepipe.components.ingest.config import IngestConfig
from tilepipe.components.ingest.parameter_names import joined
from tilepipe.components.ingest.sources.duckdb_files import readable
from tilepipe.components.ingest.sources.tables import table_columns
from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.runtime.database import literal, quoted
from tilepipe.components.shared.storage import storage

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

logger = logging.getLogger("tilepipe.ingest")

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
"""Suffixes of text files, in lower case."""

_HEADER_BYTES = 2**20
_DELIMITERS = (",", ";", "\t", "|")
_TYPES_ROW = re.compile(r"\[[tf]\]")
"""A cell of EcoTaxa's second row: [t] for a column of text, [f] for a column of numbers."""
_LINE = re.compile(r"Line: (\d+)")
_NOT_UTF8 = "not utf-8 encoded"
_AS_LATIN_1 = "tilepipe-latin-1"


def _as_latin_1(error: UnicodeError) -> tuple[str, int]:
    """Decode the five bytes that Windows-1252 leaves undefined, so that any file can be decoded."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error(_AS_LATIN_1, _as_latin_1)


def is_text(uri: str) -> bool:
    """Return True if an address has the suffix of a text file: csv, tsv or txt, also compressed with gzip."""
    return storage.path_of(uri).lower().endswith(TEXT_SUFFIXES)


@dataclass(frozen=True)
class TextFile:
    """One file of the table."""

    uri: str
    folder: str = ""
    """Folder relative to the source, with a slash at its end; empty for the source's own."""
    split: str | None = None
    """Split that the file stands for, by its name or folder; None for none."""


@dataclass(frozen=True)
class _Header:
    """Header of a text file."""

    delimiter: str
    names: tuple[str, ...]
    lines: int
    """Number of lines before the first tile."""
    is_utf8: bool
    below: str
    """The line of the first tile."""


def load(
    connection: "DuckDBPyConnection", files: Sequence[TextFile], config: IngestConfig, wanted: frozenset[str]
) -> str:
    """Load text files into one table, so that each is parsed only once; columns are matched by name.

    A file that is not UTF-8 is read as Windows-1252, which has Latin-1's letters.

    Returns:
        Name of the table, with the columns `table_columns.FOLDER` and `table_columns.FILE_SPLIT`.

    Raises:
        SourceError: if a file is missing, empty or malformed.
    """
    import duckdb

    headers = [_header(file.uri) for file in files]
    used = table_columns.used_names(config, wanted)
    names = {name.lower(): name for header in reversed(headers) for name in reversed(header.names)}
    columns = ", ".join(f"{quoted(name)} VARCHAR" for name in reversed(names.values()))
    own = f"{table_columns.FOLDER} VARCHAR, {table_columns.FILE_SPLIT} VARCHAR"
    connection.execute(f"CREATE TABLE found_text ({columns}, {own})")
    with readable(connection, [file.uri for file in files]) as paths:
        for file, header, path in zip(files, headers, paths, strict=True):
            insert = f"INSERT INTO found_text BY NAME SELECT {table_columns.needed(header.names, used)}"
            insert += f", {literal(file.folder)} AS {table_columns.FOLDER}"
            insert += f", {literal(file.split) if file.split else 'NULL'} AS {table_columns.FILE_SPLIT} FROM "
            try:
                is_utf8 = header.is_utf8
                if is_utf8:
                    try:
                        connection.execute(insert + _read_csv(path, header, is_gzip=_is_gzip(file.uri)))
                    except duckdb.InvalidInputException as error:
                        if _NOT_UTF8 not in str(error):
                            raise
                        is_utf8 = False
                if not is_utf8:
                    logger.warning("read %s as Windows-1252 (Latin-1): it is not UTF-8", storage.shown(file.uri))
                    with _converted(file.uri) as path_of_copy:
                        connection.execute(insert + _read_csv(path_of_copy, header, is_gzip=False))
            except duckdb.InvalidInputException as error:
                raise malformed(error, {path: file.uri}, file.uri) from None
    _drop_blank_rows(connection, [name for name in names.values() if name.lower() in used])
    return "found_text"


def _drop_blank_rows(connection: "DuckDBPyConnection", names: Sequence[str]) -> None:
    """Drop rows without any value, which spreadsheets write below the last one."""
    if not names:
        return
    values = ", ".join(f"nullif(trim({quoted(name)}), '')" for name in names)
    query = f"DELETE FROM found_text WHERE coalesce({values}, NULL) IS NULL"  # noqa: S608
    [(blank,)] = connection.execute(query).fetchall()
    if blank:
        logger.warning("skipped %s rows without any value", f"{blank:,}")


def malformed(error: Exception, paths: dict[str, str], uri: str) -> SourceError:
    """Return the error of a file that DuckDB cannot read.

    Args:
        error: DuckDB's error.
        paths: name for DuckDB -> address, of the files that it reads.
        uri: address of the table, for the message.
    """
    return SourceError(
        "A table must be a complete CSV, TSV or Parquet file. "
        f"Received: {storage.shown(uri)}, which reads as: {_reason(error, paths)}."
    )


def _is_gzip(uri: str) -> bool:
    return storage.path_of(uri).lower().endswith(".gz")


def _read_csv(path: str, header: _Header, *, is_gzip: bool) -> str:
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in header.names)
    # Not `header=true`: EcoTaxa's header is followed by a row of types.
    return (
        f"read_csv({literal(path)}, auto_detect=false, delim={literal(header.delimiter)}, header=false, "
        f"quote='\"', escape='\"', skip={header.lines}, columns={{{columns}}}, "
        f"compression='{'gzip' if is_gzip else 'none'}')"
    )


@contextlib.contextmanager
def _converted(uri: str) -> Iterator[str]:
    """Yield the path of a temporary copy in UTF-8 of a file in Windows-1252."""
    with storage.staged(uri) as path, tempfile.TemporaryDirectory(prefix="tilepipe-") as folder:
        copy = Path(folder) / "table.csv"
        with (
            (gzip.open if _is_gzip(uri) else open)(path, "rb") as file,
            io.TextIOWrapper(file, encoding="cp1252", errors=_AS_LATIN_1, newline="") as source,
            copy.open("w", encoding="utf-8", newline="") as target,
        ):
            shutil.copyfileobj(source, target, _HEADER_BYTES)
        yield str(copy)


def first_row(uri: str) -> dict[str, str]:
    """Return the first row of a text file, by the names of its columns in lower case; empty cells if it has no rows.

    Raises:
        SourceError: if the file is missing, empty or malformed.
    """
    header = _header(uri)
    cells = _first(header.below, header.delimiter)[0]
    return {
        name.lower(): cell.strip() for name, cell in zip(header.names, cells + [""] * len(header.names), strict=False)
    }


def _header(uri: str) -> _Header:
    """Read the first rows of a text file."""
    name, shown = storage.path_of(uri).lower(), storage.shown(uri)
    start = storage.read_range(uri, 0, min(_HEADER_BYTES, storage.size(uri)))
    if name.endswith(".gz"):
        try:
            start = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS).decompress(start, _HEADER_BYTES)
        except zlib.error as error:
            raise SourceError(f"A file named *.gz must be compressed with gzip. Received: {shown}: {error}.") from None
    whole_lines, is_utf8 = start[: start.rfind(b"\n") + 1 or None], True
    try:
        text = whole_lines.decode("utf-8-sig")
    except UnicodeDecodeError:
        text, is_utf8 = whole_lines.decode("cp1252", errors=_AS_LATIN_1), False
    if "\0" in text:
        remedy = " It is UTF-16: save it as UTF-8 (in Excel: CSV UTF-8)." if start[:2] in _UTF_16 else ""
        raise SourceError(f"A table must be a text file. Received: {shown}, which contains zero bytes.{remedy}")
    if not text.strip():
        raise SourceError(f"A table must have a header and one row per tile. Received: {shown}, which is empty.")
    is_tabs = re.search(r"\.tsv(\.gz)?$", name) is not None
    delimiter = "\t" if is_tabs else max(_DELIMITERS, key=lambda each: len(_first(text, each)[0]))
    names, lines = _first(text, delimiter)
    names = [name.strip() or f"column{place}" for place, name in enumerate(names)]
    repeated = sorted({name for name in names if [other.lower() for other in names].count(name.lower()) > 1})
    if repeated:
        raise SourceError(
            f"Each column must have a unique name. Received: {shown}, where {joined(repeated)} occur more than once."
        )
    below = [*text.splitlines()[lines : lines + 2], "", ""]
    types = _first(below[0], delimiter)[0]
    if types and all(_TYPES_ROW.fullmatch(cell.strip()) for cell in types):
        lines += 1
        del below[0]
    return _Header(delimiter, tuple(names), lines, is_utf8, below[0])


def _first(text: str, delimiter: str) -> tuple[list[str], int]:
    """Return the cells of the first row, and its number of lines."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        return next(reader, []), reader.line_num
    except csv.Error:  # a cell larger than the limit: not the delimiter of this file
        return [], 1


def _reason(error: Exception, paths: dict[str, str]) -> str:
    """Return a DuckDB error with the number of the line, but not the line, which may hold anything."""
    said = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = re.sub(r"^[\w ]+ Error: ", "", said[0])
    place = _LINE.search(str(error))
    if place:
        what = next((line for line in said[1:] if not line.startswith("Original Line")), "")
        text = f"line {place[1]}: {what or text}"
    for path, uri in paths.items():
        text = text.replace(path, storage.shown(uri))
    return text.rstrip(". ")
