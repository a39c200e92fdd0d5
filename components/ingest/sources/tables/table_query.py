"""The SQL that creates `found` from the columns of a table."""

import logging
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from tilepipe.components.ingest.config import IngestConfig
from tilepipe.components.ingest.sources.duckdb_files import FILE, ROW, WHOLE_NUMBER
from tilepipe.components.ingest.sources.source_view import COLUMNS
from tilepipe.components.ingest.sources.tables import huggingface
from tilepipe.components.ingest.sources.tables.table_columns import (
    ECOTAXA_OBJECT,
    FILE_SPLIT,
    FOLDER,
    Chosen,
    ParquetFiles,
    Types,
)
from tilepipe.components.shared.contracts.geometry_column import CORNERS
from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.runtime.database import literal, quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

logger = logging.getLogger("tilepipe.ingest")

_FRACTIONS = {"float", "double", "decimal"}
_TIMES = {"date", "timestamp", "timestamp with time zone", "timestamp_s", "timestamp_ms", "timestamp_ns"}


def query(
    connection: "DuckDBPyConnection",
    relation: str,
    types: Types,
    chosen: Chosen,
    wanted: Collection[str],
    *,
    parquet: ParquetFiles | None = None,
    is_nested: bool = False,
) -> str:
    """Return the SELECT statement of `found`.

    Args:
        connection: the database.
        relation: the table, as written after FROM.
        types: columns of the table.
        chosen: columns of the common properties.
        wanted: names that `where` uses.
        parquet: the Parquet files; None if all values are text, including numbers.
        is_nested: whether text files are in folders below the source, to which their addresses are relative.
    """
    if parquet and parquet.hold_images:
        common = _embedded(chosen.image, types, parquet)
    else:
        common = {
            "tile_id": _without_query(_address(chosen.image, types, is_nested=is_nested)),
            "uri": _address(chosen.image, types, is_nested=is_nested, trim=False),
        }
        if chosen.of_bands:
            files = (_address(name, types, is_nested=is_nested, trim=False) for name in chosen.of_bands.values())
            common |= {
                "band_uris": f"[{', '.join(files)}]",
                "bands": f"[{', '.join(map(literal, chosen.of_bands))}]",
            }
    splits = _file_splits(parquet) if parquet else FILE_SPLIT
    common |= {
        "tile_id": _text(chosen.id, types) if chosen.id else common["tile_id"],
        "label": _label(chosen.label, types, parquet),
        "split": _text(chosen.split, types) if chosen.split else splits,
        "group": _text(chosen.group, types),
        "datetime": _time(chosen.datetime, types),
        "bbox": _box(chosen.place, types),
        "geometry": parquet.geometry if parquet else "NULL",
        "tilepipe_unit": _unit(connection, relation, types, chosen),
        "tilepipe_label_status": f"lower({_text(chosen.status, types)})" if chosen.status else "NULL",
    }
    selected = [f"{common.get(name, 'NULL')}::{kind} AS {quoted(name)}" for name, kind in COLUMNS.items()]
    lower = {name.lower() for name in wanted}
    images = chosen.image if parquet and parquet.hold_images else ""
    own = [name for name in types if name.lower() not in COLUMNS and name != images]
    extra = [name for name in own if name.lower() in lower]
    guessed = _guess(connection, relation, extra) if extra and not parquet else {}
    selected += [
        f"{quoted(name)}::{guessed[name]} AS {quoted(name)}" if name in guessed else quoted(name) for name in own
    ]
    return f"SELECT {', '.join(selected)} FROM {relation}"  # noqa: S608


def _address(column: str, types: Types, *, is_nested: bool, trim: bool = True) -> str:
    """Return an expression for an image's address, with slashes, relative to the source."""
    text = _text(column, types, trim=trim)
    if types[column].id == "struct":
        text = f"nullif(trim({quoted(column)}.path), '')"
    of_windows = f"contains({text}, '\\') AND NOT contains({text}, '://')"
    text = f"CASE WHEN {of_windows} THEN replace({text}, '\\', '/') ELSE {text} END"
    if not is_nested:
        return text
    return (
        f"CASE WHEN regexp_matches({text}, '^([A-Za-z][A-Za-z0-9+.-]*://|/)') THEN {text} ELSE {FOLDER} || {text} END"
    )


def _embedded(column: str, types: Types, parquet: ParquetFiles) -> dict[str, str]:
    """Return expressions for the address and the id of images within Parquet files."""

    def of_file(values: Sequence[str]) -> str:
        return f"[{', '.join(map(literal, values))}][{FILE} + 1]"

    name = f"format('{{}}#{{:06d}}', {of_file(parquet.names)}, {ROW})"
    if types[column].id == "struct":  # the name that the file had
        path = f"nullif(regexp_extract(trim({quoted(column)}.path), '[^/\\\\]*$'), '')"
        name = f"concat_ws('/', {name}, {path})"
    return {"tile_id": name, "uri": of_file(parquet.uris), "member": literal(column), "offset": ROW}


def _label(column: str, types: Types, parquet: ParquetFiles | None) -> str:
    """Return an expression for the label: the name of a class where a Parquet file states the names of the numbers."""
    names = huggingface.class_names(parquet.features, column) if parquet and column else ()
    if not names or types[column].id == "varchar":
        return _text(column, types)
    number = f"{quoted(column)}::BIGINT"  # -1 where the label is unknown
    return f"CASE WHEN {number} >= 0 THEN [{', '.join(map(literal, names))}][{number} + 1] END"


def _file_splits(parquet: ParquetFiles) -> str:
    """Return an expression for the split that a Parquet file's name or folder stands for; NULL unless all do."""
    return f"[{', '.join(map(literal, parquet.splits))}][{FILE} + 1]" if parquet.splits else "NULL"


def _unit(connection: "DuckDBPyConnection", relation: str, types: Types, chosen: Chosen) -> str:
    """Return an expression for the object of an image; NULL if no object has several images."""
    if not chosen.objects or chosen.objects[-1].lower() != ECOTAXA_OBJECT[-1]:
        return "NULL"
    unit = f"concat_ws('/', {', '.join(_text(name, types) for name in chosen.objects)})"
    named = f"CASE WHEN {_text(chosen.objects[-1], types)} IS NOT NULL THEN {unit} END"
    query = f"SELECT count(*) FROM (SELECT 1 FROM {relation} GROUP BY {named} HAVING {named} <> '' AND count(*) > 1)"  # noqa: S608
    several = connection.execute(query).fetchall()[0][0]
    if not several:
        return "NULL"
    logger.info("%s objects have several images, which stay in one split", f"{several:,}")
    return named


def _without_query(address: str) -> str:
    """Remove the query of a web address used as an id: a signature in it is secret, and differs between exports."""
    return f"regexp_replace({address}, '^(https?://[^?#]*)[?#].*$', '\\1', 'is')"


def check_times(
    connection: "DuckDBPyConnection", relation: str, types: Types, chosen: Chosen, config: IngestConfig, file: str
) -> None:
    """Check that times can be parsed: an error if the column is required, else a warning."""
    if not chosen.datetime or types[chosen.datetime].id in _TIMES:
        return
    text, time = _text(chosen.datetime, types), _time(chosen.datetime, types)
    found = connection.execute(
        f"SELECT count(*), min({text}) FROM {relation} WHERE {text} IS NOT NULL AND {time} IS NULL"  # noqa: S608
    ).fetchall()
    wrong, example = found[0]
    if wrong and (config.columns.datetime or config.split_by == "time"):
        raise SourceError(
            f"A time must be ISO 8601 or YYYYMMDD. Received: {wrong:,} rows of {file} with other values in the column "
            f"{chosen.datetime}, such as {str(example)[:50]!r}."
        )
    if wrong:
        logger.warning("ignored the times of %s rows, such as %r in %s", wrong, str(example)[:50], chosen.datetime)


def _text(column: str, types: Types, *, trim: bool = True) -> str:
    if not column:
        return "NULL"
    name = quoted(column)
    if types[column].id in _FRACTIONS:  # 3.0: integers in a column that also has nulls
        return (
            f"CASE WHEN isnan({name}) THEN NULL WHEN {name} = floor({name}) AND abs({name}) < 1e15 "
            f"THEN {name}::BIGINT::VARCHAR ELSE {name}::VARCHAR END"
        )
    text = f"trim({name}::VARCHAR)"
    # An address is not trimmed, unless it is blank: a file name may end with a space.
    return f"nullif({text}, '')" if trim else f"CASE WHEN {text} <> '' THEN {name}::VARCHAR END"


def _time(column: str, types: Types) -> str:
    if not column:
        return "NULL"
    if types[column].id in _TIMES:
        return f"{quoted(column)}::TIMESTAMPTZ"
    text = _text(column, types)
    return f"coalesce(try_strptime({text}, '%Y%m%d')::TIMESTAMPTZ, try_cast({text} AS TIMESTAMPTZ))"


def _box(place: tuple[str, ...], types: Types) -> str:
    """Return an expression for a row's bounding box, or that of its point; NULL if it is not on Earth."""
    if len(place) == 1:
        corners = ", ".join(f"{literal(name)}: {quoted(place[0])}.{name}::DOUBLE" for name in CORNERS)
        return f"CASE WHEN {quoted(place[0])} IS NOT NULL THEN {{{corners}}} END"
    if not place:
        return "NULL"
    # Spreadsheets write decimal commas in many countries.
    texts = (f"replace({quoted(name)}, ',', '.')" if types[name].id == "varchar" else quoted(name) for name in place)
    longitude, latitude = (f"try_cast({text} AS DOUBLE)" for text in texts)
    corners = ", ".join(
        f"{literal(name)}: {value}" for name, value in zip(CORNERS, (longitude, latitude) * 2, strict=True)
    )
    on_earth = f"{longitude} BETWEEN -180 AND 180 AND {latitude} BETWEEN -90 AND 90"
    return f"CASE WHEN {on_earth} THEN {{{corners}}} END"


def _guess(connection: "DuckDBPyConnection", relation: str, names: list[str]) -> dict[str, str]:
    """Infer the types of text columns for `where`: numbers only if all values are, without leading zeros as in ids."""
    tests = []
    for name in names:
        value = f"nullif(trim({quoted(name)}), '')"
        tests += [
            f"bool_and(regexp_full_match({value}, '{WHOLE_NUMBER}'))",
            f"bool_and(try_cast({value} AS DOUBLE) IS NOT NULL AND NOT regexp_matches({value}, '^[+-]?0[0-9]'))",
            f"bool_and(lower({value}) IN ('true', 'false'))",
        ]
    found = connection.execute(f"SELECT {', '.join(tests)} FROM {relation}").fetchall()[0]  # noqa: S608
    kinds = ("BIGINT", "DOUBLE", "BOOLEAN")
    return {
        name: next(
            (kind for kind, fits in zip(kinds, found[place * 3 : place * 3 + 3], strict=True) if fits), "VARCHAR"
        )
        for place, name in enumerate(names)
    }
