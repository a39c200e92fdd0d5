"""SQL expressions for a tile's asset, label and bands from the columns of a STAC-GeoParquet file."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from tilepipe.components.ingest.config import IngestConfig
from tilepipe.components.ingest.parameter_names import argument, joined
from tilepipe.components.ingest.sources.duckdb_files import fields
from tilepipe.components.ingest.sources.stac.archive import HREF, TYPE
from tilepipe.components.ingest.sources.stac.assets import LABEL_PROPERTIES, LEVELS, asset_rank
from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.runtime.database import literal, quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from duckdb.sqltypes import DuckDBPyType

Types = Mapping[str, "DuckDBPyType"]

Bands = tuple[tuple[str, ...], tuple[str, ...]]
"""Names and common names."""

_COMMON_NAMES = ("eo:common_name", "common_name")
_BAND_NAMES = ("name", *_COMMON_NAMES)
_WHOLE_NUMBERS = {
    "tinyint",
    "smallint",
    "integer",
    "bigint",
    "hugeint",
    "utinyint",
    "usmallint",
    "uinteger",
    "ubigint",
}
_NESTED = {"struct", "list", "map", "array", "union", "blob"}


def text(expression: str, kind: "DuckDBPyType") -> str:
    """Return an expression for a scalar as text; NULL for blank text, lists and structs."""
    if kind.id == "varchar":
        return f"nullif(trim({expression}), '')"
    if kind.id in _WHOLE_NUMBERS or kind.id in {"boolean", "date"} or kind.id.startswith("timestamp"):
        return f"({expression})::VARCHAR"
    if kind.id in {"float", "double", "decimal"}:  # integers in a column that also has nulls
        return (
            f"CASE WHEN isnan({expression}) THEN NULL WHEN {expression} = floor({expression}) "
            f"THEN ({expression})::HUGEINT::VARCHAR ELSE ({expression})::VARCHAR END"
        )
    return "NULL::VARCHAR"


def first_of(expressions: Sequence[str], otherwise: str = "NULL::VARCHAR") -> str:
    """Return an expression for the first value that is not NULL; `otherwise` without expressions."""
    return f"coalesce({', '.join(expressions)})" if len(expressions) > 1 else "".join(expressions) or otherwise


def column_text(name: str, types: Types, option: str, file: str) -> str:
    """Return an expression for a column named by the user, as text; NULL for an empty name.

    Raises:
        SourceError: if there is no such column.
    """
    if not name:
        return "NULL::VARCHAR"
    if name not in types:
        raise SourceError(
            f"The column of {option} must be in the file. Received: {option}={name!r}, and {file} has {joined(types)}."
        )
    if types[name].id in _NESTED:
        raise SourceError(
            f"The column of {option} must hold text or numbers. Received: {option}={name!r}, and in {file} it is "
            f"{types[name]}. Name another column, or write the file with one value per item in it."
        )
    return text(quoted(name), types[name])


def label(config: IngestConfig, types: Types, file: str) -> str:
    """Return an expression for the class: `columns.label`, else `class`, `label` or label:overviews with one class."""
    if config.columns.label:
        return column_text(config.columns.label, types, "data_columns.label", file)
    found = [text(quoted(name), types[name]) for name in LABEL_PROPERTIES if name in types]
    overviews = types.get("label:overviews")
    element = fields(fields(overviews)["child"]) if overviews is not None and overviews.id == "list" else {}
    counts = element.get("counts")
    if counts is not None and {"name", "count"} <= set(fields(fields(counts).get("child", counts))):
        names = (
            'list_distinct(flatten([[c."name" FOR c IN o."counts" IF c."count" > 0] '
            'FOR o IN "label:overviews" IF o."counts" IS NOT NULL]))'
        )
        found.append(f"CASE WHEN len({names}) = 1 THEN nullif(trim({names}[1]::VARCHAR), '') END")
    return first_of(found)


def pixel_assets(connection: "DuckDBPyConnection", relation: str, assets: Types) -> list[str]:
    """Return the keys of the assets with pixels, by role and media type; an item may have only one of them.

    Raises:
        SourceError: if no asset has pixels.
    """
    ranks: dict[str, int] = {}
    described = {}
    for key, kind in assets.items():
        has = fields(kind)
        if "href" not in has:
            continue
        column = f"assets.{quoted(key)}"
        wanted = {name: f"{column}.{quoted(name)}" for name in ("type", "roles", TYPE) if name in has}
        example = f"any_value({column}.{quoted(HREF if HREF in has else 'href')})"
        query = (
            f"SELECT {''.join(f'{each}, ' for each in wanted.values())} {example} "  # noqa: S608
            f"FROM {relation} WHERE {column}.href IS NOT NULL GROUP BY ALL ORDER BY ALL"
        )
        names = [*wanted, HREF if HREF in has else "href"]
        variants = [dict(zip(names, row, strict=True)) for row in connection.execute(query).fetchall()]
        found = [rank for variant in variants if (rank := asset_rank(variant)) is not None]
        described[key] = sorted({str(variant.get("type")) for variant in variants})
        if found:
            ranks[key] = min(found)
    if not ranks:
        raise SourceError(
            "An item must have an asset with the tile's pixels (role data and an image type). Received: "
            f"the assets {described}. Name it with {argument('options', {'asset_key': '...'})}."
        )
    best = min(ranks.values())
    return [key for key, rank in ranks.items() if rank == best]


def of_assets(keys: Iterable[str], field: str, assets: Types, cast_to: str) -> str:
    """Return an expression for a field of the first of these assets that an item has."""
    found = [f"assets.{quoted(key)}.{quoted(field)}::{cast_to}" for key in keys if field in fields(assets[key])]
    return first_of(found, f"NULL::{cast_to}")


def band_names(keys: Iterable[str], assets: Types, types: Types, collections: Mapping[str, Bands]) -> str:
    """Return an expression for the names of the bands, stated by the asset, item or collection; else NULL.

    A list in which a name is NULL states nothing.
    """
    return _first(_stated(keys, assets, types, _BAND_NAMES), types, collections, 0)


def band_common_names(keys: Iterable[str], assets: Types, types: Types, collections: Mapping[str, Bands]) -> str:
    """Return an expression for the common name of each band, empty or NULL for none; NULL if none is stated."""
    return _first(_stated(keys, assets, types, _COMMON_NAMES, needs_all=False), types, collections, 1)


def only_common_names(keys: Iterable[str], assets: Types) -> str:
    """Return an expression for the common names of assets that hold one band each."""
    each = [_first(_stated([key], assets, {}, _COMMON_NAMES, needs_all=False), {}, {}, 1) for key in keys]
    return f"[{', '.join(f'coalesce(({names})[1], {chr(39) * 2})' for names in each)}]"


def sensor(common_names: str, types: Types) -> str:
    """Return an expression for common names, platform, constellation, instruments and processing level as JSON."""
    words = [f"{quoted(name)}::VARCHAR" for name in ("platform", "constellation") if name in types]
    if "instruments" in types and types["instruments"].id == "list":
        words.append("array_to_string(instruments, ' ')")
    platform = f"nullif(concat_ws(' ', {', '.join(words)}), '')" if words else "NULL"
    levels = [f"{quoted(name)}::VARCHAR" for name in LEVELS if name in types]
    own = {
        "platform": platform,
        "level": f"coalesce({', '.join(levels)}, NULL)" if levels else "NULL",
        "spacecraft": "platform::VARCHAR" if "platform" in types else "NULL",
        "instruments": "instruments" if "instruments" in types and types["instruments"].id == "list" else "NULL",
    }
    listed = "".join(f", '{name}', {value}" for name, value in own.items())
    return f"json_object('common_names', {common_names}{listed})::VARCHAR"


def _stated(
    keys: Iterable[str], assets: Types, types: Types, names: Sequence[str], *, needs_all: bool = True
) -> list[tuple[str, str]]:
    lists = ("bands", "eo:bands")
    found = [
        _names(f"assets.{quoted(key)}.{quoted(name)}", fields(assets[key])[name], names, needs_all=needs_all)
        for key in keys
        for name in lists
        if name in fields(assets[key])
    ]
    found += [_names(quoted(name), types[name], names, needs_all=needs_all) for name in lists if name in types]
    return [each for each in found if each is not None]


def _first(stated: Sequence[tuple[str, str]], types: Types, collections: Mapping[str, Bands], place: int) -> str:
    """Return an expression for the first statement; `place` selects names or common names of the collections."""
    known = [f"CASE WHEN {condition} THEN {names} END" for names, condition in stated]
    if collections and "collection" in types:
        cases = " ".join(
            f"WHEN {literal(name)} THEN [{', '.join(map(literal, bands[place]))}]::VARCHAR[]"
            for name, bands in collections.items()
            if bands[place]
        )
        known += [f"CASE collection {cases} END"] if cases else []
    if len(known) == len(stated) == 1:  # the condition, which takes as long as the list, chooses between statements
        return stated[0][0]
    return first_of(known, "NULL::VARCHAR[]")


def _names(value: str, kind: "DuckDBPyType", wanted: Sequence[str], *, needs_all: bool) -> tuple[str, str] | None:
    """Return expressions for the names in a list of bands, NULL for none, and for the condition to use them."""
    element = fields(kind).get("child") if kind.id == "list" else None
    names = [name for name in wanted if element is not None and name in fields(element)]
    if not names:
        return None
    each = ", ".join(f"nullif(b.{quoted(name)}::VARCHAR, '')" for name in names)
    listed = f"[coalesce({each}, NULL) FOR b IN {value}]"
    present = f"len(list_filter({listed}, lambda n: n IS NOT NULL))"
    if not needs_all:
        return listed, f"{present} > 0"
    # Names are optional in STAC 1.1; b1, b2 and so on are places in the file, unless common names are beside them.
    common = [f"b.{quoted(name)}::VARCHAR" for name in _COMMON_NAMES if name in names]
    none = f"len(list_filter({value}, lambda b: coalesce({', '.join(common)}, '') <> '')) = 0" if common else "true"
    numbers = f"list_transform(range(1, len({value}) + 1), lambda n: 'b' || n)"
    return listed, f"{present} >= greatest(len({value}), 1) AND NOT ({listed} = {numbers} AND {none})"
