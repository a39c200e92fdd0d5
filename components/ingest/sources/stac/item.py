"""Conversion of a STAC item, as a dictionary, to a row: its asset, label and bands."""

import datetime
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Self

from tilepipe.components.ingest.config import Columns, IngestConfig
from tilepipe.components.ingest.parameter_names import argument, joined
from tilepipe.components.ingest.sources.hrefs import HrefResolver
from tilepipe.components.ingest.sources.stac import archive
from tilepipe.components.ingest.sources.stac.assets import (
    LABEL_PROPERTIES,
    Properties,
    asset_rank,
    choice_of_asset,
    common_names,
    describe,
    only_common_name,
    stated_bands,
    stated_sensor,
)
from tilepipe.components.ingest.sources.stac.multihash import hexadecimal
from tilepipe.components.ingest.sources.stac.raster import stated_raster
from tilepipe.components.ingest.sources.tile_row import TileRow
from tilepipe.components.ingest.sources.unused_split import SPLIT_COLUMNS, ignores_stated_splits, warn_of_unused_split
from tilepipe.components.shared.contracts.geometry_column import CORNERS
from tilepipe.components.shared.contracts.tile_table import BoundingBox
from tilepipe.components.shared.errors import SourceError

_SCALARS = str | int | float | datetime.datetime
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class _Pixels:
    """The asset of a tile, or its assets if each band has its own."""

    uris: tuple[str, ...]
    bytes: int | None
    checksum: str | None
    bands: tuple[str, ...]
    member: str | None = None
    stated: str | None = None
    common_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class ItemReader:
    """Reader of the items of one source.

    Args:
        resolver: resolver of hrefs.
        asset_key: asset with the pixels. Defaults to the one selected by role and media type.
        columns: properties with the class, group and time; class and time are detected if empty.
        split_property: property that names the split. Defaults to none.
        band_assets: band -> asset, if each band has its own file; replaces `asset_key`.
        wanted: properties that the row must include.
        label_required: True if an item without a label is an error.
    """

    resolver: HrefResolver
    asset_key: str = ""
    columns: Columns = field(default_factory=Columns)
    split_property: str = ""
    band_assets: Mapping[str, str] = field(default_factory=dict)
    wanted: frozenset[str] = frozenset()
    label_required: bool = True
    unused_splits: set[str] = field(default_factory=lambda: set(SPLIT_COLUMNS), compare=False)
    """Usual names of properties with splits, of which no parameter names one and no item has had one yet."""

    @classmethod
    def of(cls, config: IngestConfig, resolver: HrefResolver, wanted: frozenset[str]) -> Self:
        """Create the reader from the parameters of the step."""
        options = config.options
        return cls(
            resolver,
            options.asset_key,
            config.columns,
            config.split_property,
            options.band_assets,
            frozenset(wanted),
            label_required=config.needs_labels and "" not in config.recode,
            unused_splits=set(SPLIT_COLUMNS) if ignores_stated_splits(config) else set(),
        )

    def row(self, item: Properties, *, folder: str, where: str, collection: Properties | None = None) -> TileRow:
        """Read one item.

        Args:
            item: the item, as parsed from JSON; `geometry` may also be WKB, and times may be `datetime`.
            folder: folder that the item's relative hrefs refer to.
            where: location of the item, for messages.
            collection: collection of the item, for bands that the item does not state.

        Raises:
            SourceError: if the item is malformed, or its asset or its label cannot be determined.
        """
        tile_id = item.get("id")
        if not isinstance(tile_id, str) or not tile_id:
            raise SourceError(f"A STAC item must have an id. Received: id={tile_id!r} in {where}.")
        where = f"item {tile_id} ({where})"
        properties = _mapping(item.get("properties"), "properties", where)
        assets = _mapping(item.get("assets"), "assets", where)
        if unused := self.unused_splits & properties.keys():
            warn_of_unused_split(min(unused))
            self.unused_splits.clear()
        pixels = self._pixels(assets, folder, where, properties, collection or {})
        usual_time = properties.get("datetime") or properties.get("start_datetime")
        time = properties.get(self.columns.datetime) if self.columns.datetime else usual_time
        return TileRow(
            tile_id=tile_id,
            uri=pixels.uris[0],
            member=pixels.member,
            label=self.label(properties, where),
            band_uris=pixels.uris if self.band_assets else None,
            split=_text(properties.get(self.split_property)) if self.split_property else None,
            group=_scalar(properties, self.columns.group, where) if self.columns.group else None,
            datetime=_time(time, where),
            bbox=_bounding_box(item.get("bbox"), where),
            geometry=_geometry(item.get("geometry"), where),
            bytes=pixels.bytes,
            checksum=pixels.checksum,
            bands=pixels.bands,
            stated_raster=pixels.stated,
            stated_sensor=stated_sensor(pixels.common_names, properties),
            properties=self._carried(item, properties) if self.wanted else _NOTHING,
        )

    def _pixels(
        self, assets: Properties, folder: str, where: str, properties: Properties, collection: Properties
    ) -> "_Pixels":
        if self.band_assets:
            missing = [key for key in self.band_assets.values() if key not in assets]
            if missing:
                raise SourceError(
                    "The assets of data_options.band_assets must be in every item. Received: band_assets="
                    f"{dict(self.band_assets)}, and {where} has {joined(assets)}, without {joined(missing)}."
                )
            keys = tuple(self.band_assets.values())
        else:
            keys = (self._choose_asset(assets, where, collection),)
        stated = [_mapping(assets[key], f"asset {key}", where) for key in keys]
        uris = tuple(
            self.resolver.resolve(asset.get("href"), folder, f"asset {key} of {where}")
            for key, asset in zip(keys, stated, strict=True)
        )
        if self.band_assets and any(archive.is_member(asset) for asset in stated):
            raise SourceError(
                "The assets of data_options.band_assets must not be members of an archive. Received: archive:href in "
                f"{where}. Unpack the archive."
            )
        raster = stated_raster(tuple(zip(keys, stated, strict=True)), properties, collection)
        if self.band_assets:  # size and checksum are those of one file, not of the tile
            common = tuple(only_common_name(key, asset, collection) for key, asset in zip(keys, stated, strict=True))
            names = tuple(self.band_assets)
            return _Pixels(uris, None, None, names, stated=raster, common_names=common)
        asset = stated[0]
        member = archive.member_of(asset, f"asset {keys[0]} of {where}")
        names = stated_bands(keys[0], asset, properties, collection)
        return _Pixels(
            uris,
            None if member else _size(asset.get("file:size"), where),  # those of a member are the ones of its zip
            None if member else _checksum(asset.get("file:checksum"), where),
            names,
            member,
            raster,
            common_names(names, keys[0], asset, properties, collection),
        )

    def _carried(self, item: Properties, properties: Properties) -> dict[str, Any]:
        carried = {name: properties.get(name) for name in self.wanted if name in properties}
        if "collection" in self.wanted and "collection" not in carried:
            carried["collection"] = item.get("collection")
        return {name: value for name, value in carried.items() if isinstance(value, _SCALARS)}

    def _choose_asset(self, assets: Properties, where: str, collection: Properties) -> str:
        if self.asset_key:
            if self.asset_key not in assets:
                raise SourceError(
                    f"The asset of data_options.asset_key must be in every item. Received: "
                    f"asset_key={self.asset_key!r}, and {where} has {joined(assets)}."
                )
            return self.asset_key
        candidates = {key: asset for key, asset in assets.items() if isinstance(asset, dict)}
        ranks = {key: rank for key, asset in candidates.items() if (rank := asset_rank(asset)) is not None}
        best = [key for key, rank in ranks.items() if rank == min(ranks.values())]
        if len(best) > 1:
            raise SourceError(
                "An item must have one asset with the tile's pixels (role data and an image type). Received: "
                f"{joined(best)} in {where}. {choice_of_asset({key: candidates[key] for key in best}, collection)}"
            )
        if best:
            return best[0]
        described = {key: describe(asset)[0] for key, asset in sorted(candidates.items())}
        remedy = f"Name it with {argument('options', {'asset_key': '...'})}."
        if any("geo+json" in kind for kind in described.values()):
            remedy = "If it is a label item, give it a link of rel=source to the item with the pixels."
        raise SourceError(
            "An item must have an asset with the tile's pixels (role data and an image type). Received: "
            f"{described} in {where}. {remedy}"
        )

    def label(self, properties: Properties, where: str) -> str | None:
        """Return the label in the properties of an item; None if there is none and none is needed.

        Raises:
            SourceError: if there is none or there are several, and one is needed.
        """
        named = self.columns.label
        if named:
            label = _text(properties.get(named))
            if label is None and self.label_required:
                raise SourceError(
                    "The property of data_columns.label must hold the class in every item. Received: "
                    f"data_columns.label={named!r}, whose value is {properties.get(named)!r} in {where}, with the "
                    f"properties {joined(properties)}."
                )
            return label
        for name in LABEL_PROPERTIES:
            label = _text(properties.get(name))
            if label is not None:
                return label
        names = _overview_names(properties)
        if len(names) == 1:
            return names[0]
        if not self.label_required:
            return None
        found = f"label:overviews with {joined(names)}" if names else f"the properties {joined(properties)}"
        listed = next((name for name in LABEL_PROPERTIES if isinstance(properties.get(name), list)), "")
        if listed:
            found = f"the list {listed}={properties[listed]!r:.200}"
        raise SourceError(
            "An item must have one label: a property class or label, or the label extension's label:overviews with "
            f"one class. Received: {found} in {where}. Name the property, of text or numbers, with "
            f"{argument('columns', {'label': '...'})}."
        )


def _overview_names(properties: Properties) -> list[str]:
    """Return the classes with a count above zero: https://github.com/stac-extensions/label#label-overview-object."""
    overviews = properties.get("label:overviews")
    names: set[str] = set()
    for overview in overviews if isinstance(overviews, list) else []:
        counts = overview.get("counts") if isinstance(overview, dict) else None
        for count in counts if isinstance(counts, list) else []:
            name = _text(count.get("name")) if isinstance(count, dict) and count.get("count") else None
            if name is not None:
                names.add(name)
    return sorted(names)


def _mapping(value: object, what: str, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise SourceError(f"The {what} of a STAC item must be an object. Received: {type(value).__name__} in {where}.")
    return value


def _text(value: object) -> str | None:
    """Return a scalar as text; None for null, NaN, lists and objects."""
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, bool):  # as in JSON and from GeoParquet
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():  # integers in a column that also has nulls
        return str(int(value))
    return str(value) if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)) else None


def _scalar(properties: Properties, name: str, where: str) -> str | None:
    value = properties.get(name)
    text = _text(value)
    if text is None and value is not None and not isinstance(value, str):
        raise SourceError(f"The property {name} must be a string or a number. Received: {value!r} in {where}.")
    return text


def _time(value: object, where: str) -> datetime.datetime | None:
    if value is None:
        return None
    try:
        time = value if isinstance(value, datetime.datetime) else datetime.datetime.fromisoformat(str(value))
        return time.astimezone(datetime.UTC) if time.tzinfo else time.replace(tzinfo=datetime.UTC)
    except (ValueError, OverflowError):  # the latter next to the years 1 and 9999
        raise SourceError(f"The datetime of an item must be RFC 3339. Received: {value!r} in {where}.") from None


def _bounding_box(value: object, where: str) -> BoundingBox | None:
    if isinstance(value, dict):  # GeoParquet's struct
        value = [value.get(name) for name in CORNERS]
    if value is None or value == [None] * 4:
        return None
    if not isinstance(value, list) or len(value) not in {4, 6} or not all(_is_number(part) for part in value):
        raise SourceError(f"The bbox of an item must be 4 or 6 finite numbers. Received: {value!r} in {where}.")
    half = len(value) // 2
    west, south, east, north = value[0], value[1], value[half], value[half + 1]
    return float(west), float(south), float(east), float(north)


def _geometry(value: object, where: str) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    import numpy as np
    import shapely
    from shapely.geometry import shape

    try:
        with np.errstate(invalid="ignore"):
            found = shape(value)
        if not np.isfinite(shapely.get_coordinates(found)).all():
            raise ValueError("a coordinate is not a finite number")
        return bytes(shapely.to_wkb(found))
    except (shapely.errors.ShapelyError, ValueError, TypeError, AttributeError, LookupError, OverflowError) as error:
        raise SourceError(f"The geometry of an item must be GeoJSON. Received: {error} in {where}.") from None


def _size(value: object, where: str) -> int | None:
    if value is None:
        return None
    if not _is_number(value) or not 0 <= value < 2**63:  # type: ignore[operator]
        raise SourceError(f"The file:size of an asset must be a number of bytes. Received: {value!r} in {where}.")
    return int(value)  # type: ignore[call-overload,no-any-return]


def _checksum(value: object, where: str) -> str | None:
    if value is None:
        return None
    checksum = hexadecimal(str(value))
    if checksum is None:
        raise SourceError(
            "The file:checksum of an asset must be a multihash in hexadecimal or multibase. "
            f"Received: {value!r} in {where}."
        )
    return checksum


def _is_number(value: object) -> bool:
    """Return True for a finite number; JSON may also hold NaN, and integers that no float can have."""
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False
