"""Detection of the columns of a table, and the SQL that creates `found` from them."""

import logging
import re
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tilepipe.components.ingest.config import IngestConfig, split_named
from tilepipe.components.ingest.parameter_names import argument, joined
from tilepipe.components.ingest.sources.duckdb_files import FILE, ROW
from tilepipe.components.ingest.sources.folder import SUFFIXES
from tilepipe.components.ingest.sources.source_view import COLUMNS
from tilepipe.components.ingest.sources.tables import huggingface
from tilepipe.components.ingest.sources.unused_split import check_unused_split
from tilepipe.components.shared.contracts.geometry_column import CORNERS
from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.runtime.database import literal, quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from duckdb.sqltypes import DuckDBPyType

logger = logging.getLogger("tilepipe.ingest")

Types = Mapping[str, "DuckDBPyType"]

FOLDER = "tilepipe_folder"
"""Column with the folder of a row's text file, relative to the source, with a slash at its end; empty for its own."""

# The last names are EcoTaxa's: https://ecotaxa.obs-vlfr.fr/gui/import, "columns".
USUAL_NAMES = {
    "image": ("image", "image_path", "uri", "url", "path", "file", "filename", "file_name", "img_file_name"),
    "label": ("label", "class", "class_name", "category", "object_annotation_category"),
    "group": ("group", "group_id", "scene_id", "sample_id"),
    "datetime": ("datetime", "timestamp", "date", "object_date"),
}
"""Role -> names of columns, in lower case, by which it is detected."""
_PLACES = (("lon", "lat"), ("longitude", "latitude"), ("lng", "lat"), ("object_lon", "object_lat"))
_ECOTAXA = {"img_file_name", "object_id"}
_OBJECT = ("sample_id", "object_id")
_STATUS = "object_annotation_status"
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
    objects: tuple[str, ...] = ()
    """EcoTaxa's columns that identify an object, of which there may be several images."""
    status: str = ""
    """EcoTaxa's column of the status of a label."""


@dataclass(frozen=True)
class ParquetFiles:
    """The Parquet files of a table."""

    uris: Sequence[str]
    """Their normalized addresses, in the order of `FILE`."""
    names: Sequence[str]
    """Their paths relative to the source."""
    features: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The features of Hugging Face's `datasets` by column."""
    hold_images: bool = False
    """True if the column of images holds encoded images."""

    @property
    def splits(self) -> tuple[str, ...]:
        """Split that each file's name or folder stands for, as in `test-0.parquet`; empty if not all do."""
        splits = [split_of_file(name) for name in self.names]
        return tuple(map(str, splits)) if all(splits) and len(set(splits)) > 1 else ()


def split_of_file(name: str) -> str | None:
    """Return the split that the start of a file's name, or else its folder, stands for; None if neither does."""
    folder, _, file = name.rpartition("/")
    return split_named(re.split(r"[-_.]", file, maxsplit=1)[0]) or split_named(folder.rpartition("/")[2])


def choose(
    types: Types, config: IngestConfig, file: str, features: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
) -> Chosen:
    """Find the columns that the parameters name, or detect them by their usual names.

    Args:
        types: columns of the table.
        config: parameters of the step.
        file: the table, for messages.
        features: the features of Hugging Face's `datasets` by column. Defaults to none.

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
        is_image = parameter == "data_columns.image" and column and huggingface.is_image(types[column])
        if not column or (types[column].id in _NESTED and not is_image):
            problem = f"{types[column].id}s in {column}" if column else f"no column {name!r}"
            raise SourceError(
                f"`{parameter}` must name a column of text or numbers. Received: {problem} in {file}, "
                f"whose columns are {joined(types)}."
            )
        return column

    def find(role: str, *, is_needed: bool) -> str:
        parameter = f"data_columns.{role}"
        stated = named(getattr(columns, role), parameter)
        if stated:
            return stated
        found = [by_name[name] for name in USUAL_NAMES[role] if name in by_name]
        if role == "image":  # a name beside the images is the one that the file had
            structs = [name for name in types if types[name].id == "struct" and huggingface.is_image(types[name])]
            found = [name for name in found if name in structs] or structs or found
        if role == "label" and not found:
            found = [name for name in types if huggingface.class_names(features, name)]
        if len(found) == 1:
            return named(found[0], parameter)
        if is_needed:
            if any(name.lower().endswith(SUFFIXES) for name in types):
                raise SourceError(
                    f"The first line of a table must name its columns, such as filename,label. Received: {file} with "
                    f"the columns {joined(types)}. Add that line."
                )
            rest = [name for name in found or types if name != by_name.get(columns.image.lower(), "")]
            rest = [name for name in rest if found or name.lower() not in USUAL_NAMES["image"]]
            example = min(found) if found else rest[0] if len(rest) == 1 else "..."
            which = f"several: {joined(found)}" if found else "none with a usual name"
            raise SourceError(
                f"A table must have one column for the {role}. Received: {file} with {which}; its columns are "
                f"{joined(types)}. Name the column, such as "
                f"{argument('columns', {role: example})}."
            )
        return ""

    check_unused_split(types, config)
    is_ecotaxa = by_name.keys() >= _ECOTAXA
    return Chosen(
        image=find("image", is_needed=True),
        label=find("label", is_needed=config.needs_labels),
        group=find("group", is_needed=config.split_by == "group"),
        datetime=find("datetime", is_needed=config.split_by == "time"),
        id=named(columns.id, "data_columns.id"),
        split=named(config.split_property, "split_property"),
        place=_place(types, by_name),
        objects=tuple(by_name[name] for name in _OBJECT if name in by_name) if is_ecotaxa else (),
        status=by_name.get(_STATUS, "") if is_ecotaxa else "",
    )


def used_names(config: IngestConfig, wanted: frozenset[str]) -> set[str]:
    """Return the names, in lower case, of all columns that can be used."""
    columns = config.columns
    usual = {name for names in (*USUAL_NAMES.values(), *_PLACES, _OBJECT, (_STATUS,)) for name in names}
    stated = {columns.id, columns.image, columns.label, columns.group, columns.datetime, config.split_property}
    return {name.strip().lower() for name in (*usual, *stated, *wanted)}


def needed(names: Iterable[str], used: Container[str]) -> str:
    """Return a list for SELECT in which all columns that cannot be used are NULL, so that messages can list them."""
    return ", ".join(quoted(name) if name.lower() in used else f"NULL::VARCHAR AS {quoted(name)}" for name in names)


def query(
    connection: "DuckDBPyConnection",
    relation: str,
    types: Types,
    chosen: Chosen,
    wanted: Collection[str],
    *,
    parquet: ParquetFiles | None = None,
    folders: Collection[str] = (),
) -> str:
    """Return the SELECT statement of `found`.

    Args:
        connection: the database.
        relation: the table, as written after FROM.
        types: columns of the table.
        chosen: columns of the common properties.
        wanted: names that `where` uses.
        parquet: the Parquet files; None if all values are text, including numbers.
        folders: values of `FOLDER`, if text files are in several folders.

    Returns:
        The statement.
    """
    if parquet and parquet.hold_images:
        common = _embedded(chosen.image, types, parquet)
    else:
        address = _address(chosen.image, types, is_nested=any(folders))
        trimmed = _address(chosen.image, types, is_nested=any(folders), trim=False)
        common = {"tile_id": _without_query(address), "uri": trimmed}
    splits = _file_splits(parquet) if parquet else _folder_splits(folders)
    common |= {
        "tile_id": _text(chosen.id, types) if chosen.id else common["tile_id"],
        "label": _label(chosen.label, types, parquet),
        "split": _text(chosen.split, types) if chosen.split else splits,
        "group": _text(chosen.group, types),
        "datetime": _time(chosen.datetime, types),
        "bbox": _box(chosen.place, types),
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


def _folder_splits(folders: Collection[str]) -> str:
    """Return an expression for the split that a file's folder stands for; NULL unless all folders are splits."""
    splits = {folder: split_named(folder.rstrip("/")) for folder in folders}
    if not splits or not all(splits.values()):
        return "NULL"
    cases = " ".join(f"WHEN {literal(folder)} THEN {literal(str(split))}" for folder, split in splits.items())
    return f"CASE {FOLDER} {cases} END"


def _unit(connection: "DuckDBPyConnection", relation: str, types: Types, chosen: Chosen) -> str:
    """Return an expression for the object of an image; NULL if no object has several images."""
    if not chosen.objects or chosen.objects[-1].lower() != _OBJECT[-1]:
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
