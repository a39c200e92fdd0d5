"""Rules for the assets and bands of STAC items, read as JSON or as columns."""

import json
import mimetypes
from collections.abc import Iterator, Mapping
from typing import Any

from tilepipe.components.ingest.parameter_names import argument
from tilepipe.components.ingest.sources.stac import archive
from tilepipe.components.shared.contracts.bands import (
    are_band_numbers,
    canonical_band,
    canonical_bands,
    stated_platform,
)

LEVELS = ("processing:level", "s2:product_type")
"""Properties with the processing level."""
LABEL_PROPERTIES = ("class", "label")
"""Properties that hold the class unless `columns.label` names another."""

_USUAL_BANDS = ("blue", "green", "red", "nir", "nir08")
_NOT_PIXELS = {"thumbnail", "overview", "metadata", "labels", "labels-vector", "labels-raster"}

Properties = Mapping[str, Any]


def describe(asset: Properties) -> tuple[str, frozenset[str]]:
    """Return the media type (inferred from the suffix if not stated) and the roles of an asset."""
    kind, name = archive.media_type(asset)
    if not isinstance(kind, str) or not kind:
        kind = mimetypes.guess_type(name)[0] or ""
    roles = asset.get("roles")
    return kind.lower(), frozenset(str(role) for role in roles) if isinstance(roles, list) else frozenset()


def asset_rank(asset: Properties) -> int | None:
    """Return a rank by which the asset with the pixels is selected, 0 best; None for an asset without pixels."""
    kind, roles = describe(asset)
    if "data" in roles and "tiff" in kind:
        return 0
    if "data" in roles and kind.startswith("image/"):
        return 1
    return 2 if kind.startswith("image/") and not roles & _NOT_PIXELS else None


def choice_of_asset(assets: Mapping[str, Properties], collection: Properties) -> str:
    """Return a remedy for an item with several assets of pixels: an option naming the bands, or the richest asset."""
    item_assets = {"item_assets": collection.get("item_assets")}
    bands = {key: next(_band_lists(key, asset, {}, item_assets), []) for key, asset in assets.items()}
    single = {key: only_common_name(key, assets[key], item_assets) for key, stated in bands.items() if len(stated) == 1}
    chosen = [key for name in _USUAL_BANDS for key, common in single.items() if common == name] or list(single)[:4]
    if len(chosen) > 1:
        return (
            "If each band is a file of its own, name the bands, such as "
            f"{argument('options', {'band_assets': {key: key for key in chosen}})}."
        )
    most = max(sorted(assets), key=lambda key: len(bands[key]))
    return f"Name it, such as {argument('options', {'asset_key': most})}."


def stated_bands(key: str, asset: Properties, properties: Properties, collection: Properties) -> tuple[str, ...]:
    """Return the first statement of the bands: STAC 1.1's `bands` or `eo:bands` of the asset, item or collection.

    The names are canonical; empty if they are not stated. Numbers of bands (b1, b2, ...) without common names are no
    statement.
    """
    for stated in _band_lists(key, asset, properties, collection):
        names = tuple(_band_name(band) for band in stated)
        numbered = are_band_numbers(names) and not any(_common_name(band) for band in stated)
        if all(names) and not numbered:  # STAC 1.1's `bands` may have only data types, no names
            return canonical_bands(names)
    return ()


def common_names(
    names: tuple[str, ...], key: str, asset: Properties, properties: Properties, collection: Properties
) -> tuple[str, ...]:
    """Return the common name of each band, from the first statement that has one for a band of this name.

    Args:
        names: canonical names, from `stated_bands`.
        key: key of the asset.
        asset: the asset.
        properties: properties of the item.
        collection: collection of the item.

    Returns:
        One common name per band, in lower case, or an empty string; empty if none is stated.
    """
    found: dict[str, str] = {}
    for stated in _band_lists(key, asset, properties, collection):
        for band in stated:
            common = _common_name(band)
            if common:
                found.setdefault(canonical_band(_band_name(band)), common)
    return tuple(found.get(name, "") for name in names) if found else ()


def _band_lists(key: str, asset: Properties, properties: Properties, collection: Properties) -> Iterator[list[object]]:
    item_assets = collection.get("item_assets")
    template = item_assets.get(key) if isinstance(item_assets, dict) else None
    for holder in (asset, properties, template, collection.get("summaries"), collection):
        for name in ("bands", "eo:bands"):
            stated = holder.get(name) if isinstance(holder, Mapping) else None
            if isinstance(stated, list) and stated:
                yield stated


def only_common_name(key: str, asset: Properties, collection: Properties) -> str:
    """Return the common name of the only band of an asset; empty if it is not stated, or there are several bands."""
    item_assets = {"item_assets": collection.get("item_assets")}
    for stated in _band_lists(key, asset, {}, item_assets):
        if len(stated) == 1 and (common := _common_name(stated[0])):
            return common
    return ""


def stated_sensor(common: tuple[str, ...], properties: Properties) -> str | None:
    """Return what an item states about its sensor, as JSON for the column `stated_sensor`; None if nothing.

    That is its platform, constellation, instruments and processing level, and the common name of each band, or empty.
    """
    stated: dict[str, object] = {"common_names": list(common)} if any(common) else {}
    levels = (properties.get(name) for name in LEVELS)
    own = {
        "platform": stated_platform(properties),
        "level": next((level for level in levels if isinstance(level, str) and level), ""),
        "spacecraft": properties.get("platform"),
        "instruments": properties.get("instruments"),
    }
    stated |= {name: value for name, value in own.items() if value}
    return json.dumps(stated) if stated else None


def _band_name(band: object) -> str:
    if not isinstance(band, dict):
        return ""
    name = band.get("name") or band.get("eo:common_name") or band.get("common_name")
    return name if isinstance(name, str) else ""


def _common_name(band: object) -> str:
    common = (band.get("eo:common_name") or band.get("common_name")) if isinstance(band, dict) else None
    return common.strip().lower() if isinstance(common, str) else ""
