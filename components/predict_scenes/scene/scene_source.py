"""A scene by its address: the file and index of each band, and what is stated of the scene."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

from tilepipe.components.predict_scenes.config import PredictScenesConfig
from tilepipe.components.predict_scenes.scene.gdal_access import open_raster
from tilepipe.components.predict_scenes.scene.item_assets import read_item
from tilepipe.components.shared.contracts.bands import RGB_BANDS, canonical_band, stated_platform
from tilepipe.components.shared.contracts.product import canonical_level, product_level
from tilepipe.components.shared.errors import BandError, ParameterError
from tilepipe.components.shared.storage import storage
from tilepipe.components.shared.storage.item_hrefs import is_item

# https://sentiwiki.copernicus.eu/web/s2-products: S2A_MSIL2A_20230613T105621_N0509_R094_T31TCJ_...
_PRODUCT = re.compile(r"S2[A-D]_MSIL(?P<level>1C|2A)_\d{8}T\d{6}(?:_N(?P<baseline>\d{4}))?")
_TIMES = (
    (re.compile(r"(?<!\d)(\d{8}T\d{6})(?!\d)"), "%Y%m%dT%H%M%S"),
    (re.compile(r"(?<!\d)(\d{4}-\d{2}-\d{2})(?!\d)"), "%Y-%m-%d"),
    (re.compile(r"(?<!\d)((?:19|20)\d{6})(?!\d)"), "%Y%m%d"),
)
# Metadata of GDAL's Sentinel-2 driver, which converted files keep.
_TAGS = {
    "baseline": ("PROCESSING_BASELINE",),
    "level": ("PROCESSING_LEVEL", "PRODUCT_TYPE"),
    "platform": ("SPACECRAFT_NAME", "DATATAKE_1_SPACECRAFT_NAME"),
    "time": ("PRODUCT_START_TIME", "DATATAKE_1_DATATAKE_SENSING_START", "TIFFTAG_DATETIME"),
}


@dataclass(frozen=True)
class BandFile:
    """File of one band."""

    uri: str
    index: int
    """Number of the band in its file, from 1."""
    nodata: float | None = None
    """Value that the metadata of the scene state, in addition to that of the file."""
    together: int = 1
    """Number of bands that the metadata of the scene state for the file, if they are several."""


@dataclass(frozen=True)
class Scene:
    """A scene, before any pixel is read."""

    uri: str
    name: str
    """Id of the item, or name of the file."""
    files: Mapping[str, BandFile]
    """Canonical name of a band -> its file."""
    stated_by: str
    """Source of the names: `scene_bands`, `band_assets`, `metadata`, `files` or `convention`."""
    time: datetime | None = None
    platform: str = ""
    """Platform, constellation and instruments, separated by spaces."""
    level: str = ""
    """Processing level, `L1C` or `L2A` for a Sentinel-2 product; empty if it is not stated."""
    baseline: str = ""
    """Processing baseline of a Sentinel-2 product, such as `05.09`; empty if it is not stated."""
    offset_is_applied: bool = False
    """True if the offset of a baseline since 04.00 is no longer in the numbers."""
    stated_offset: float | None = None
    """Offset in digital numbers that the metadata of the bands state; None for none."""
    unit: str = ""
    """Unit that all needed bands state; empty if they state none or several."""
    properties: Mapping[str, Any] = field(default_factory=dict)
    """Properties of the STAC item; empty for a file."""


def open_scene(config: PredictScenesConfig, needed: tuple[str, ...]) -> Scene:
    """Find the bands of a scene.

    Args:
        config: Parameters of the step.
        needed: Canonical names of the bands that the model takes.

    Returns:
        The scene, with the needed bands only.

    Raises:
        BandError: A needed band is missing, or the bands have no names.
        SourceError: The scene does not exist, or is neither a raster file nor an item of such files.
        StorageError: The disk, the store or the web server cannot be read.
    """
    of_item = is_item(config.scene_uri)
    scene = _from_item(config, needed) if of_item else _from_file(config)
    missing = [band for band in needed if band not in scene.files and band not in config.options.fill_bands]
    if missing:
        raise BandError(_missing(scene, needed, missing, config))
    if not set(needed) & set(scene.files):
        raise BandError(
            f"A scene must have at least one band of the model: {', '.join(needed)}. Received: "
            f"{storage.shown(scene.uri)} with the bands {', '.join(scene.files) or 'none'}, and all bands of the model "
            f"in fill_bands. {_naming(scene, needed, config)}"
        )
    return scene


def _missing(scene: Scene, needed: tuple[str, ...], missing: list[str], config: PredictScenesConfig) -> str:
    found = ", ".join(scene.files) or "none"
    text = (
        f"A scene must have the bands of the model: {', '.join(needed)}. Received: {storage.shown(scene.uri)} with the "
        f"bands {found} (stated by {scene.stated_by}), in which {', '.join(missing)} "
        f"{'is' if len(missing) == 1 else 'are'} missing."
    )
    if missing == ["B10"]:
        text += " Products of level 2A lack B10, so the scene is probably one, and the model was trained on level 1C."
    if not set(needed) & set(scene.files):  # nothing would be left to classify
        return f"{text} {_naming(scene, needed, config)}"
    parameter = "options.band_assets" if is_item(config.scene_uri) else "scene_bands"
    fill = config.options.argument(fill_bands=[*config.options.fill_bands, *missing])
    return (
        f"{text} Use a scene of the same product, name its bands with `{parameter}`, or fill the missing ones with the "
        f"mean of the training tiles: {fill}."
    )


def _naming(scene: Scene, needed: tuple[str, ...], config: PredictScenesConfig) -> str:
    """Say how to name the bands of a scene that has none of the model's bands by name."""
    found = list(scene.files)
    if is_item(config.scene_uri):
        return "Use a scene of the same product, or name the assets of its bands with `options.band_assets`."
    if len(found) == len(needed):
        return f"If they are the bands of the model in this order, set scene_bands={json.dumps(list(needed))}."
    return f"Name all bands of the file in its order: scene_bands=[...], with {len(found)} names."


def _from_file(config: PredictScenesConfig) -> Scene:
    uri = config.scene_uri
    with open_raster(uri) as dataset:
        names, stated_by = _file_bands(config, dataset)
        units = {str(unit or "") for unit in dataset.units}
        tags = {key.upper(): value for key, value in dataset.tags().items()}
    stem = PurePosixPath(storage.path_of(uri)).stem
    stated = {role: next((tags[key] for key in keys if tags.get(key)), "") for role, keys in _TAGS.items()}
    level, baseline = _product_in_name(stem, tags.get("PRODUCT_URI", ""))
    return Scene(
        uri=uri,
        name=stem,
        files={name: BandFile(uri, index) for index, name in names.items()},
        stated_by=stated_by,
        time=_time(config.options.datetime) or _time(stated["time"]) or time_in_name(stem),
        platform=stated["platform"] or ("sentinel-2" if level else ""),
        level=product_level(stated["level"]) or level,
        baseline=stated["baseline"] or baseline,
        offset_is_applied="harmoni" in stem.lower(),
        unit=units.pop() if len(units) == 1 else "",
    )


def _file_bands(config: PredictScenesConfig, dataset: Any) -> tuple[dict[int, str], str]:  # noqa: ANN401
    """Return the names of a file's bands by their number, and their source."""
    if config.scene_bands:
        if len(config.scene_bands) != dataset.count:
            raise ParameterError(
                f"`scene_bands` must name each band of the file. Received: {len(config.scene_bands)} names, "
                f"{', '.join(config.scene_bands)}, for {dataset.count} bands of {storage.shown(config.scene_uri)}."
            )
        return dict(enumerate(config.scene_bands, 1)), "scene_bands"
    described = _described(dataset)
    repeated = sorted({name for name in described.values() if list(described.values()).count(name) > 1})
    if described and not repeated:
        return described, "files"
    if _without_alpha(dataset) == len(RGB_BANDS) and dataset.dtypes[0] == "uint8":
        return dict(enumerate(RGB_BANDS, 1)), "convention"
    received = f"the names {', '.join(repeated)} twice" if repeated else "no names"
    raise BandError(
        f"The bands of a scene must have names, each once. Received: {storage.shown(config.scene_uri)} with "
        f"{dataset.count} bands and {received}. Give scene_bands=[...] with one name for each band, in the file's "
        "order."
    )


def _described(dataset: Any) -> dict[int, str]:  # noqa: ANN401
    # GDAL's Sentinel-2 driver describes bands as `B4, central wavelength 665 nm`.
    return {index: canonical_band(text.partition(",")[0]) for index, text in enumerate(dataset.descriptions, 1) if text}


def _without_alpha(dataset: Any) -> int:  # noqa: ANN401
    """Return the number of bands before the last one if that is alpha, else of all."""
    from rasterio.enums import ColorInterp

    return int(dataset.count - (dataset.colorinterp[-1] == ColorInterp.alpha))


def check_item_bands(scene: Scene, uri: str, dataset: Any) -> None:  # noqa: ANN401
    """Check that a file has the bands that the item of its scene states for it, in the same order.

    Raises:
        BandError: it has more or fewer, or describes one of them in another place.
    """
    stated = {name: file for name, file in scene.files.items() if file.uri == uri and file.together > 1}
    if scene.stated_by != "metadata" or not stated:
        return
    together = max(file.together for file in stated.values())
    if together not in {dataset.count, _without_alpha(dataset)}:
        received = f"{together} bands for {storage.shown(uri)}, which has {dataset.count}"
    else:
        places = {name: index for index, name in _described(dataset).items()}
        elsewhere = [name for name, file in stated.items() if places.get(name, file.index) != file.index]
        if not elsewhere:
            return
        places_of = (f"{name} as number {stated[name].index}, in the file {places[name]}" for name in elsewhere)
        received = f"{', '.join(places_of)} of {storage.shown(uri)}"
    raise BandError(
        f"A scene's item and its files must state the same bands in the same order. Received: {received}. Correct the "
        "item, or give the address of the file itself, with `scene_bands` if it does not name its bands."
    )


def _from_item(config: PredictScenesConfig, needed: tuple[str, ...]) -> Scene:
    item = read_item(config.scene_uri, config.options.band_assets, config.options.href_rewrite, needed)
    properties = item.properties
    level_in_name, baseline = _product_in_name(item.id, str(properties.get("s2:product_uri", "")))
    levels = (properties.get(name) for name in ("processing:level", "s2:product_type", "product:type"))
    level = next((found for text in (*levels, item.collection) if (found := product_level(str(text or "")))), "")
    baselines = ("s2:processing_baseline", "sentinel:processing_baseline", "sentinel2:processing_baseline")
    applied = properties.get("earthsearch:boa_offset_applied")
    return Scene(
        uri=config.scene_uri,
        name=item.id,
        files={
            name: BandFile(asset.uri, asset.index, asset.nodata, asset.together) for name, asset in item.bands.items()
        },
        stated_by="band_assets" if config.options.band_assets else "metadata",
        time=_time(config.options.datetime)
        or _time(str(properties.get("datetime") or ""))
        or _time(str(properties.get("start_datetime") or "")),
        platform=stated_platform(properties),
        level=level or level_in_name or canonical_level(str(properties.get("processing:level") or "")),
        baseline=next((str(properties[name]) for name in baselines if properties.get(name)), baseline),
        offset_is_applied=str(applied).lower() == "true" or "harmoni" in f"{item.collection} {item.id}".lower(),
        stated_offset=item.offset,
        unit=item.unit_of(needed),
        properties=properties,
    )


def _product_in_name(*names: str) -> tuple[str, str]:
    """Return level and baseline of the first Sentinel-2 product among some names; empty where there is none."""
    product = next((match for name in names if (match := _PRODUCT.search(name))), None)
    if product is None:
        return "", ""
    digits = product["baseline"] or ""
    return f"L{product['level']}", f"{digits[:2]}.{digits[2:]}" if digits else ""


def time_in_name(name: str) -> datetime | None:
    """Return the first time or date in the name of a file, in UTC; None without one."""
    for pattern, form in _TIMES:
        for text in pattern.findall(name):
            try:
                return datetime.strptime(text, form).replace(tzinfo=UTC)
            except ValueError:
                continue
    return None


def _time(text: str) -> datetime | None:
    if not text:
        return None
    try:  # TIFF writes 2023:06:13 10:56:21
        time = datetime.fromisoformat(re.sub(r"^(\d{4}):(\d{2}):(\d{2})", r"\1-\2-\3", text.strip()))
    except ValueError:
        return None
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
