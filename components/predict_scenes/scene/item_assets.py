"""The bands of a STAC item of a scene, with one asset per band or one asset with all of them."""

import json
import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tilepipe.components.shared.contracts.bands import (
    SENTINEL_2_BANDS,
    SENTINEL_2_COMMON_NAMES,
    are_band_numbers,
    canonical_band,
    other_platform,
    stated_platform,
)
from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.storage import storage
from tilepipe.components.shared.storage.item_hrefs import LARGEST_ITEM_BYTES, may_refer, resolve_href

_NOT_PIXELS = frozenset({"thumbnail", "overview", "visual", "metadata"})
_NO_NAMES = frozenset({"gray", "undefined", "palette"})
"""GDAL's interpretations of bands that say nothing about the wavelength."""
_RASTER = re.compile(r"tiff?\b|geotiff|jp2|jpeg2000", re.IGNORECASE)
# Common names that belong to one band of Sentinel-2.
_BY_COMMON_NAME = {
    common: band
    for band, names in SENTINEL_2_COMMON_NAMES.items()
    for common in names
    if sum(common in others for others in SENTINEL_2_COMMON_NAMES.values()) == 1
}


@dataclass(frozen=True)
class BandAsset:
    """One band of an item."""

    key: str
    uri: str
    index: int
    """Number of the band in its file, from 1."""
    nodata: float | None
    offset: float | None
    """Offset in digital numbers: that of the item divided by its scale."""
    gsd: float
    """Pixel size in metres; infinite if it is not stated."""
    unit: str = ""
    together: int = 1
    """Number of bands that the item states for the file."""


@dataclass(frozen=True)
class SceneItem:
    """Facts of a STAC item that a prediction needs."""

    id: str
    collection: str
    properties: Mapping[str, Any]
    bands: Mapping[str, BandAsset]
    """Canonical name -> asset, the finest one where a band has several."""

    @property
    def offset(self) -> float | None:
        """The offset that all bands state; None if they state none or several."""
        offsets = {asset.offset for asset in self.bands.values()}
        return offsets.pop() if len(offsets) == 1 else None

    def unit_of(self, bands: Collection[str]) -> str:
        """Return the unit that these bands state; empty if they state none or several."""
        units = {asset.unit for band, asset in self.bands.items() if band in bands}
        return units.pop() if len(units) == 1 else ""


def read_item(
    uri: str, band_assets: Mapping[str, str], rewrite: Mapping[str, str], needed: Collection[str]
) -> SceneItem:
    """Read a STAC item and find its bands by name.

    Args:
        uri: Normalized address of the item.
        band_assets: Canonical name of a band -> key of its asset; empty finds them by STAC 1.1's `bands`, by
            `eo:bands`, by the key of the asset, or by the common names of Sentinel-2.
        rewrite: Prefix -> replacement, for addresses that begin with the prefix.
        needed: Bands whose addresses are resolved; the others are only listed.

    Raises:
        SourceError: The file is not an item, an asset is missing, or an address is outside the item's folder, bucket
            or host.
        StorageError: The disk, the store or the web server cannot be read.
    """
    if storage.size(uri) > LARGEST_ITEM_BYTES:
        raise _not_an_item(uri, f"a file of more than {LARGEST_ITEM_BYTES:,} bytes")
    try:
        document = json.loads(storage.read_bytes(uri))
        properties, assets = document["properties"], document["assets"]
        found = SceneItem(
            str(document["id"]),
            str(document.get("collection") or ""),
            dict(properties),
            _bands(uri, properties, dict(assets), band_assets),
        )
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise _not_an_item(uri, f"{type(error).__name__}: {error}") from None
    bands = {
        band: replace(asset, uri=_resolve(asset.uri, uri, rewrite)) if band in needed else asset
        for band, asset in found.bands.items()
    }
    return replace(found, bands=bands)


def _bands(
    uri: str, properties: Mapping[str, Any], assets: Mapping[str, Any], band_assets: Mapping[str, str]
) -> dict[str, BandAsset]:
    """Find the asset of each band, with its address as it is written there."""
    platform = other_platform(stated_platform(properties))
    if band_assets:
        if missing := [key for key in band_assets.values() if key not in assets]:
            raise SourceError(
                f"The assets of `band_assets` must be in the item. Received: {storage.shown(uri)} with "
                f"{', '.join(sorted(assets))}: {', '.join(missing)} are missing."
            )
        named = [(band, key, 0) for band, key in band_assets.items()]
    else:
        named = [
            (band, key, place)
            for key, asset in assets.items()
            if _has_pixels(asset)
            for place, band in enumerate(_names(key, asset, platform=platform))
            if band
        ]
    bands: dict[str, BandAsset] = {}
    for band, key, place in named:
        asset, first = assets[key], bands.get(band)
        gsd = _gsd(asset, place)
        if first is None or _rank(asset, gsd) < _rank(assets[first.key], first.gsd):
            href = str(asset["href"])
            unit = next((str(value) for value in _values(asset, place, "unit", "raster:unit")), "")
            together = 1 if band_assets else len(_stated(asset))
            nodata, offset = _nodata(asset, place), _offset(asset, place)
            bands[band] = BandAsset(key, href, place + 1, nodata, offset, gsd, unit, together)
    return bands


def _has_pixels(asset: Mapping[str, Any]) -> bool:
    roles = {str(role).lower() for role in asset.get("roles") or []}
    kind = str(asset.get("type") or "")
    return not roles & _NOT_PIXELS and bool(_RASTER.search(kind or storage.path_of(str(asset["href"]))))


def _rank(asset: Mapping[str, Any], gsd: float) -> tuple[bool, float, bool]:
    """Prefer a band of its own to one of a picture, then the finest, then GeoTIFF, of which windows are read faster."""
    is_geotiff = "tif" in f"{asset.get('type', '')} {asset['href']}".lower()
    return len(_stated(asset)) > 1, gsd, not is_geotiff


def _stated(asset: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the bands that an asset states; one without a name if it states none."""
    return next((asset[name] for name in ("bands", "eo:bands") if asset.get(name)), [{}])


def _names(key: str, asset: Mapping[str, Any], *, platform: str) -> Iterator[str]:
    """Yield the name of each band of an asset, or an empty string."""
    stated = _stated(asset)
    numbered = are_band_numbers([str(band.get("name") or "") for band in stated])
    for band in stated:
        common = str(band.get("eo:common_name") or band.get("common_name") or "").lower()
        spellings = [str(band.get("name") or ""), key if len(stated) == 1 else "", common]
        if numbered:  # by rio-stac, whose description is the name in the file, or the color
            described = str(band.get("description") or "")
            spellings = [*spellings[1:], described if described not in _NO_NAMES else ""]
        yield _name(spellings, is_sentinel_2=not platform)


def _name(spellings: list[str], *, is_sentinel_2: bool) -> str:
    if is_sentinel_2:
        for text in spellings:
            canonical = canonical_band(re.sub(r"[_-](?:10|20|60)m$|-jp2$", "", text, flags=re.IGNORECASE))
            if canonical in SENTINEL_2_BANDS:
                return canonical
            if text.lower() in _BY_COMMON_NAME:
                return _BY_COMMON_NAME[text.lower()]
    return next((canonical_band(text) for text in spellings if text), "")


def _values(asset: Mapping[str, Any], place: int, *names: str) -> Iterator[Any]:
    """Yield the values of a field: those of the band, in STAC 1.1 or 1.0, then that of the asset."""
    for holder in ("bands", "raster:bands", "eo:bands"):
        stated = asset.get(holder) or []
        if place < len(stated):
            yield from (stated[place][name] for name in names if stated[place].get(name) is not None)
    yield from (asset[name] for name in names if asset.get(name) is not None)


def _gsd(asset: Mapping[str, Any], place: int) -> float:
    for value in _values(asset, place, "gsd", "raster:spatial_resolution", "spatial_resolution"):
        return float(value)
    transform = asset.get("proj:transform")
    if transform:
        return math.hypot(float(transform[0]), float(transform[3]))
    suffix = re.search(r"[_-](10|20|60)m\b", storage.path_of(str(asset["href"])), re.IGNORECASE)
    return float(suffix[1]) if suffix else math.inf


def _nodata(asset: Mapping[str, Any], place: int) -> float | None:
    return next((float(value) for value in _values(asset, place, "nodata")), None)


def _offset(asset: Mapping[str, Any], place: int) -> float | None:
    offset = next((float(value) for value in _values(asset, place, "offset", "raster:offset")), None)
    scale = next((float(value) for value in _values(asset, place, "scale", "raster:scale")), 1.0)
    return None if offset is None or not scale else round(offset / scale, 6)


def _resolve(href: str, item: str, rewrite: Mapping[str, str]) -> str:
    """Resolve the address of an asset, and check that it may be read."""
    uri = resolve_href(href, item)
    for prefix in sorted(rewrite, key=len, reverse=True):
        if uri.startswith(prefix):
            return storage.normalize(rewrite[prefix] + uri[len(prefix) :])
    if may_refer(item, uri):
        return uri
    place = storage.parent(uri).rstrip("/") + "/" if not storage.is_web(uri) else storage.origin(uri) + "/"
    raise SourceError(
        "The assets of an item must be on the item's own host, in a bucket, or below the folder of a local item. "
        f"Received: {storage.shown(uri)} in {storage.shown(item)}. If this is intended, allow it with "
        f"options={json.dumps({'href_rewrite': {place: place}})}."
    )


def _not_an_item(uri: str, received: str) -> SourceError:
    return SourceError(
        f"A scene that ends with .json must be a STAC item with assets. Received: {storage.shown(uri)}, which reads "
        f"as {received}."
    )
