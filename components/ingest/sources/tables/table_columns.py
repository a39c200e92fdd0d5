"""Detection of the columns of a table."""

import logging
import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tilepipe.components.ingest.config import IngestConfig, split_named
from tilepipe.components.ingest.parameter_names import argument, joined
from tilepipe.components.ingest.sources.duckdb_files import fields
from tilepipe.components.ingest.sources.folder import SUFFIXES
from tilepipe.components.ingest.sources.tables import huggingface
from tilepipe.components.ingest.sources.tables.column_advice import likely_column, list_advice, one_hot_advice
from tilepipe.components.ingest.sources.unused_split import check_unused_split
from tilepipe.components.shared.contracts.geometry_column import CORNERS
from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.runtime.database import quoted
from tilepipe.components.shared.storage import storage

if TYPE_CHECKING:
    from duckdb.sqltypes import DuckDBPyType

logger = logging.getLogger("tilepipe.ingest")

Types = Mapping[str, "DuckDBPyType"]

FOLDER = "tilepipe_folder"
"""Column with the folder of a row's text file, relative to the source, with a slash at its end; empty for its own."""
FILE_SPLIT = "tilepipe_file_split"
"""Column with the split that a row's text file stands for; null for none."""

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
ECOTAXA_OBJECT = ("sample_id", "object_id")
_STATUS = "object_annotation_status"
_NESTED = {"struct", "list", "map", "array", "union", "blob"}


@dataclass(frozen=True)
class Chosen:
    """Names of columns; empty if the table has no such column."""

    image: str
    """The column of images, or of those of the first band."""
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
    of_bands: Mapping[str, str] = field(default_factory=dict)
    """Canonical name of a band -> column of its images, if each band has its own."""


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
    geometry: str = "NULL"
    """SQL expression for the geometry of a row."""

    @property
    def splits(self) -> tuple[str, ...]:
        """Split that each file's name or folder stands for, as in `test-0.parquet`; empty if not all do."""
        return splits_of_files(self.names)


def splits_of_files(names: Iterable[str]) -> tuple[str, ...]:
    """Return the split that the start of each file's name, or else its folder, stands for; empty if not all do."""
    splits = [_split_of_file(name) for name in names]
    return tuple(map(str, splits)) if all(splits) and len(set(splits)) > 1 else ()


def _split_of_file(name: str) -> str | None:
    folder, _, file = name.rpartition("/")
    return split_named(re.split(r"[-_.]", file, maxsplit=1)[0]) or split_named(folder.rpartition("/")[2])


def choose(
    types: Types,
    config: IngestConfig,
    file: str,
    features: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    first: Callable[[], Mapping[str, str]] = dict,
) -> Chosen:
    """Find the columns that the parameters name, or detect them by their usual names.

    Args:
        types: columns of the table.
        config: parameters of the step.
        file: normalized address of the table.
        features: the features of Hugging Face's `datasets` by column.
        first: returns the first row of a text file, by the names of its columns in lower case; called for advice.

    Raises:
        SourceError: if a column is missing, holds lists, or is ambiguous.
    """
    columns, by_name = config.columns, {name.strip().lower(): name for name in types}
    shown = storage.shown(file)

    def named(name: str, parameter: str) -> str:
        if not name:
            return ""
        column = name if name in types else by_name.get(name.strip().lower(), "")
        is_image = parameter == "data_columns.image" and column and huggingface.is_image(types[column])
        if not column or (types[column].id in _NESTED and not is_image):
            problem = f"{types[column].id}s in {column}" if column else f"no column {name!r}"
            is_list = column and types[column].id in {"list", "array"} and parameter == "data_columns.label"
            raise SourceError(
                f"`{parameter}` must name a column of text or numbers. Received: {problem} in {shown}, "
                f"whose columns are {joined(types)}.{list_advice(file, column) if is_list else ''}"
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
                    f"The first line of a table must name its columns, such as filename,label. Received: {shown} with "
                    f"the columns {joined(types)}. Add that line."
                )
            others = [name for names in USUAL_NAMES.values() for name in names]
            stated_names = {by_name.get(name.strip().lower(), "") for name in vars(columns).values()}
            rest = [name for name in types if name not in stated_names and name.lower() not in others]
            example = (min(found) if found else likely_column(role, rest)) or "..."
            which = f"several: {joined(found)}" if found else "none with a usual name"
            given = columns.model_dump(exclude_defaults=True)
            advice = one_hot_advice(file, rest, first()) if role == "label" and not found else ""
            raise SourceError(
                f"A table must have one column for the {role}. Received: {shown} with {which}; its columns are "
                f"{joined(types)}. Name the column, such as {argument('columns', {**given, role: example})}.{advice}"
            )
        return ""

    check_unused_split(types, config)
    assets = config.options.band_assets
    of_bands = {band: named(name, f"data_options.band_assets.{band}") for band, name in assets.items()}
    is_ecotaxa = by_name.keys() >= _ECOTAXA
    return Chosen(
        image=next(iter(of_bands.values()), "") or find("image", is_needed=True),
        label=find("label", is_needed=config.needs_labels),
        group=find("group", is_needed=config.split_by == "group"),
        datetime=find("datetime", is_needed=config.split_by == "time"),
        id=named(columns.id, "data_columns.id"),
        split=named(config.split_property, "split_property"),
        place=_place(types, by_name),
        objects=tuple(by_name[name] for name in ECOTAXA_OBJECT if name in by_name) if is_ecotaxa else (),
        status=by_name.get(_STATUS, "") if is_ecotaxa else "",
        of_bands=of_bands,
    )


def used_names(config: IngestConfig, wanted: frozenset[str]) -> set[str]:
    """Return the names, in lower case, of all columns that can be used."""
    columns = config.columns
    usual = {name for names in (*USUAL_NAMES.values(), *_PLACES, ECOTAXA_OBJECT, (_STATUS,)) for name in names}
    stated = {columns.id, columns.image, columns.label, columns.group, columns.datetime, config.split_property}
    return {name.strip().lower() for name in (*usual, *stated, *config.options.band_assets.values(), *wanted)}


def needed(names: Iterable[str], used: Container[str]) -> str:
    """Return a list for SELECT in which all columns that cannot be used are NULL, so that messages can list them."""
    return ", ".join(quoted(name) if name.lower() in used else f"NULL::VARCHAR AS {quoted(name)}" for name in names)


def _place(types: Types, by_name: Mapping[str, str]) -> tuple[str, ...]:
    box = by_name.get("bbox")
    if box and set(fields(types[box])) >= set(CORNERS):
        return (box,)
    pairs = (tuple(by_name[name] for name in pair if name in by_name) for pair in _PLACES)
    return next((pair for pair in pairs if len(pair) == 2), ())
