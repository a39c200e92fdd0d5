"""Detection of the columns of a table, and the SQL that creates `found` from them."""

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tilepipe.components.ingest.config import IngestConfig
from tilepipe.components.ingest.parameter_names import argument
from tilepipe.components.ingest.sources.source_view import COLUMNS
from tilepipe.components.shared.contracts.tile_table import CORNERS
from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.runtime.database import literal, quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from duckdb.sqltypes import DuckDBPyType

logger = logging.getLogger("tilepipe.ingest")

Types = Mapping[str, "DuckDBPyType"]

# The last names are EcoTaxa's: https://ecotaxa.obs-vlfr.fr/gui/import, "columns".
_NAMES = {
    "image": ("image", "image_path", "uri", "url", "path", "file", "filename", "file_name", "img_file_name"),
    "label": ("label", "class", "class_name", "category", "object_annotation_category"),
    "group": ("group", "group_id", "scene_id", "sample_id"),
    "datetime": ("datetime", "timestamp", "date", "object_date"),
}
_PLACES = (("lon", "lat"), ("longitude", "latitude"), ("lng", "lat"), ("object_lon", "object_lat"))
_NESTED = {"struct", "list", "map", "array", "union", "blob"}
_FRACTIONS = {"float", "double", "decimal"}
_TIMES = {"date", "timestamp", "timestamp with time zone", "timestamp_s", "timestamp_ms", "timestamp_ns"}


@dataclass(frozen=True)
class Chosen:
    """Names of columns; empty if the table has no such column."""

    image: str
    label: str
    group: str
    datetime: str
    id: str
    split: str
    place: tuple[str, ...]
    """The columns of longitude and latitude, or the column of bounding boxes."""


def choose(types: Types, config: IngestConfig, file: str) -> Chosen:
    """Find the columns that the parameters name, or detect them by their usual names.

    Args:
        types: columns of the table.
        config: parameters of the step.
        file: the table, for messages.

    Returns:
        The columns.

    Raises:
        SourceError: if a column is missing, holds lists, or is ambiguous.
    """
    columns, by_name = config.columns, {name.strip().lower(): name for name in types}

    def named(name: str, parameter: str) -> str:
        if not name:
            return ""
        column = name if name in types else by_name.get(name.strip().lower(), "")
        if not column or types[column].id in _NESTED:
            problem = f"{types[column].id}s in {column}" if column else f"no column {name!r}"
            raise SourceError(
                f"`{parameter}` must name a column of text or numbers. Received: {problem} in {file}, "
                f"whose columns are {sorted(types)}."
            )
        return column

    def find(role: str, *, is_needed: bool) -> str:
        parameter = f"data_columns.{role}"
        stated = named(getattr(columns, role), parameter)
        if stated:
            return stated
        found = [by_name[name] for name in _NAMES[role] if name in by_name]
        if len(found) == 1:
            return named(found[0], parameter)
        if is_needed:
            which = f"several: {found}" if found else "none with a usual name"
            raise SourceError(
                f"A table must have one column for the {role}. Received: {file} with {which}; its columns are "
                f"{sorted(types)}. Name the column, such as "
                f"{argument('columns', {role: min(found or types)})}."
            )
        return ""

    return Chosen(
        image=find("image", is_needed=True),
        label=find("label", is_needed=True),
        group=find("group", is_needed=config.split_by == "group"),
        datetime=find("datetime", is_needed=config.split_by == "time"),
        id=named(columns.id, "data_columns.id"),
        split=named(config.split_property, "split_property"),
        place=_place(types, by_name),
    )


def needed(names: Iterable[str], config: IngestConfig, wanted: frozenset[str]) -> str:
    """Return a list for SELECT in which all columns that cannot be used are NULL."""
    columns = config.columns
    usual = {name for names in (*_NAMES.values(), *_PLACES) for name in names}
    stated = {columns.id, columns.image, columns.label, columns.group, columns.datetime, config.split_property}
    used = {name.strip().lower() for name in (*usual, *stated, *wanted)}
    # The other columns stay as NULL, so that messages can list them.
    return ", ".join(quoted(name) if name.lower() in used else f"NULL::VARCHAR AS {quoted(name)}" for name in names)


def query(
    connection: "DuckDBPyConnection",
    relation: str,
    types: Types,
    chosen: Chosen,
    wanted: Collection[str],
    *,
    is_text: bool,
) -> str:
    """Return the SELECT statement of `found`.

    Args:
        connection: the database.
        relation: the table, as written after FROM.
        types: columns of the table.
        chosen: columns of the common properties.
        wanted: names that `where` uses.
        is_text: True if all values are text, including numbers.

    Returns:
        The statement.
    """
    common = {
        "tile_id": _text(chosen.id, types) if chosen.id else _without_query(_text(chosen.image, types)),
        "uri": _text(chosen.image, types, trim=False),
        "label": _text(chosen.label, types),
        "split": _text(chosen.split, types),
        "group": _text(chosen.group, types),
        "datetime": _time(chosen.datetime, types),
        "bbox": _box(chosen.place),
    }
    selected = [f"{common.get(name, 'NULL')}::{kind} AS {quoted(name)}" for name, kind in COLUMNS.items()]
    lower = {name.lower() for name in wanted}
    extra = [name for name in types if name.lower() in lower and name.lower() not in COLUMNS]
    guessed = _guess(connection, relation, extra) if is_text and extra else {}
    selected += [f"{quoted(name)}::{guessed.get(name, types[name])} AS {quoted(name)}" for name in extra]
    return f"SELECT {', '.join(selected)} FROM {relation}"  # noqa: S608


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


def _place(types: Types, by_name: Mapping[str, str]) -> tuple[str, ...]:
    box = by_name.get("bbox")
    if box and types[box].id == "struct" and {name for name, _ in types[box].children} >= set(CORNERS):
        return (box,)
    pairs = (tuple(by_name[name] for name in pair if name in by_name) for pair in _PLACES)
    return next((pair for pair in pairs if len(pair) == 2), ())


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


def _box(place: tuple[str, ...]) -> str:
    """Return an expression for a row's bounding box, or that of its point; NULL if it is not on Earth."""
    if len(place) == 1:
        corners = ", ".join(f"{literal(name)}: {quoted(place[0])}.{name}::DOUBLE" for name in CORNERS)
        return f"CASE WHEN {quoted(place[0])} IS NOT NULL THEN {{{corners}}} END"
    if not place:
        return "NULL"
    longitude, latitude = (f"try_cast({quoted(name)} AS DOUBLE)" for name in place)
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
            f"bool_and(regexp_full_match({value}, '-?(0|[1-9][0-9]{{0,17}})'))",
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
