"""Statements of a STAC item about its pixels: nodata, scale and offset of each band, and the processing baseline.

Fields: https://github.com/stac-extensions/raster (1.0: `raster:bands`) and STAC 1.1's `bands` and common metadata.
"""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tilepipe.components.ingest.sources.duckdb_files import fields
from tilepipe.components.ingest.sources.stac import item_columns
from tilepipe.components.shared.runtime.database import literal, quoted

if TYPE_CHECKING:
    from duckdb.sqltypes import DuckDBPyType

Properties = Mapping[str, Any]

_FIELDS = {
    "nodata": ("nodata",),
    "scale": ("scale", "raster:scale"),
    "offset": ("offset", "raster:offset"),
    "unit": ("unit", "raster:unit"),
}
_LISTS = ("raster:bands", "bands")
_PROPERTIES = {
    "baseline": ("s2:processing_baseline", "sentinel:processing_baseline"),
    "offset_applied": ("earthsearch:boa_offset_applied",),
}


def stated_raster(
    assets: Sequence[tuple[str, Properties]], properties: Properties, collection: Properties
) -> str | None:
    """Collect what an item states about the pixels of its assets.

    Args:
        assets: key and content of the asset with all bands, or of one asset per band.
        properties: the properties of the item.
        collection: the collection of the item.

    Returns:
        JSON with the lists `nodata`, `scale`, `offset` and `unit`, one value per band, and with `baseline` and
        `offset_applied`; None if nothing is stated.
    """
    templates = collection.get("item_assets")
    stated: dict[str, Any] = {}
    for name, spellings in _FIELDS.items():
        values: list[object] = []
        for key, asset in assets:
            template = templates.get(key) if isinstance(templates, Mapping) else None
            found = next((each for holder in (asset, template) if (each := _values(holder, spellings))), [None])
            values += [None if value == "" else value for value in found]
        if any(value is not None for value in values):
            stated[name] = values
    for name, keys in _PROPERTIES.items():
        value = next((properties[key] for key in keys if properties.get(key) is not None), None)
        if value is not None:
            stated[name] = value
    return json.dumps(stated, sort_keys=True) if stated else None


def _values(holder: object, spellings: Sequence[str]) -> list[object]:
    """Return a field of each band, or [] for none; a band without it has that of the asset, or ""."""
    if not isinstance(holder, Mapping):
        return []
    common = next((holder[name] for name in spellings if holder.get(name) is not None), "")
    for key in _LISTS:
        bands = holder.get(key)
        if isinstance(bands, list) and all(isinstance(band, Mapping) for band in bands):
            values = [next((band[each] for each in spellings if band.get(each) is not None), common) for band in bands]
            if any(value != "" for value in values):
                return values
    return [] if common == "" else [common]


def raster_columns(
    keys: Sequence[str],
    assets: "Mapping[str, DuckDBPyType]",
    types: "item_columns.Types",
    *,
    one_per_band: bool,
    collections: "Mapping[str, Properties] | None" = None,
) -> str:
    """Return the same statements of a STAC-GeoParquet as an SQL expression.

    Args:
        keys: the assets of all bands, of which each item has one; or one asset per band.
        assets: types of the assets.
        types: types of the columns.
        one_per_band: True if each asset holds one band.
        collections: id -> collection, whose `item_assets` count for what an asset does not state. Defaults to none.

    Returns:
        An expression for the JSON, or for NULL.
    """
    entries = []
    for name, spellings in _FIELDS.items():
        lists = [_list(f"assets.{quoted(key)}", assets[key], spellings) for key in keys]
        if collections and "collection" in types and (one_per_band or len(keys) == 1):
            templates = [_template(key, spellings, collections) for key in keys]
            pairs = zip(lists, templates, strict=True)
            lists = [item_columns.first_of([each for each in pair if each], "") for pair in pairs]
        has_any = any(lists)
        if one_per_band:  # each asset keeps its place
            lists = [f"coalesce({each}, [NULL::VARCHAR])" if each else "[NULL::VARCHAR]" for each in lists]
        lists = [each for each in lists if each]
        if has_any:
            joined = lists[0] if len(lists) == 1 else f"flatten([{', '.join(lists)}])"
            entries.append(f"'{name}', {joined}")
    for name, columns in _PROPERTIES.items():
        present = [quoted(column) for column in columns if column in types]
        if present:
            entries.append(f"'{name}', coalesce({', '.join(present)}, NULL)")
    return f"json_object({', '.join(entries)})::VARCHAR" if entries else "NULL"


def _template(key: str, spellings: Sequence[str], collections: "Mapping[str, Properties]") -> str:
    """Return an expression for the values in the `item_assets` of an item's collection; empty if none states any."""
    cases = []
    for name, collection in collections.items():
        templates = collection.get("item_assets")
        values = _values(templates.get(key), spellings) if isinstance(templates, Mapping) else []
        if values:
            each = ", ".join("NULL" if value in ("", None) else literal(str(value)) for value in values)
            cases.append(f"WHEN {literal(name)} THEN [{each}]::VARCHAR[]")
    return f"CASE collection {' '.join(cases)} END" if cases else ""


def _list(column: str, kind: "DuckDBPyType", spellings: Sequence[str]) -> str:
    has = fields(kind)
    common = [f"{column}.{quoted(name)}::VARCHAR" for name in spellings if name in has]
    found = []
    for key in _LISTS:
        element = fields(has[key]).get("child") if key in has and has[key].id == "list" else None
        within = fields(element) if element is not None else {}
        each = [f"b.{quoted(name)}::VARCHAR" for name in spellings if name in within]
        if each:
            values = f"[coalesce({', '.join([*each, *common, 'NULL'])}) FOR b IN {column}.{quoted(key)}]"
            found.append(f"CASE WHEN len(list_filter({values}, lambda v: v IS NOT NULL)) > 0 THEN {values} END")
    if common:
        found.append(
            f"CASE WHEN coalesce({', '.join(common)}, NULL) IS NOT NULL THEN [coalesce({', '.join(common)}, NULL)] END"
        )
    return f"coalesce({', '.join(found)}, NULL)" if found else ""
