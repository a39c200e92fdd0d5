"""Canonical band names, and their conversion from the spellings of users and catalogs."""

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo

SENTINEL_2_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
"""ESA's names, in order of wavelength."""

RGB_BANDS = ("red", "green", "blue")
"""Names of the three channels of a JPEG or PNG (STAC's common names)."""

BandScaling = tuple[tuple[float, float], ...]
"""Scale and offset of each band, or one pair for all bands."""

_SENTINEL_2_SPELLING = re.compile(r"B0*(\d{1,2})(A?)", re.IGNORECASE)


def canonical_band(name: str) -> str:
    """Return the name of a band as used in the manifest.

    Sentinel-2 bands may be written `B1`, `b01`, `B8a` or `B08A`; other names are kept.
    """
    match = _SENTINEL_2_SPELLING.fullmatch(name.strip())
    if not match:
        return name.strip()
    number, suffix = int(match[1]), match[2].upper()
    spelled = f"B{number}{suffix}" if suffix else f"B{number:02d}"
    return spelled if spelled in SENTINEL_2_BANDS else name.strip()


@functools.lru_cache(maxsize=256)
def canonical_bands(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the canonical spelling of each name; cached, since most items and files have the same list."""
    return tuple(canonical_band(name) for name in names)


def are_band_numbers(names: Sequence[str]) -> bool:
    """Return True if the names are `b1`, `b2` and so on, in this order: places in the file, as rio-stac writes them."""
    return bool(names) and all(name == f"b{number}" for number, name in enumerate(names, 1))


def distinct_bands(parameter: str, bands: tuple[str, ...]) -> tuple[str, ...]:
    """Return the canonical names, in order, that a parameter lists in any spelling, checking that they are unique.

    Raises:
        ValueError: a name is empty or repeated; pydantic turns this into a ParameterError.
    """
    names = canonical_bands(bands)
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated or "" in names:
        wrong = f"{', '.join(repeated)} repeated" if repeated else "a name empty"
        raise ValueError(f"`{parameter}` must name each band once. Received: {parameter}={list(bands)}, with {wrong}.")
    return names


def _distinct(bands: tuple[str, ...], field: ValidationInfo) -> tuple[str, ...]:
    return distinct_bands(str(field.field_name), bands)


DistinctBands = Annotated[tuple[str, ...], AfterValidator(_distinct)]
"""Canonical names of bands, each once."""


def _by_band(values: dict[str, str], field: ValidationInfo) -> dict[str, str]:
    names = distinct_bands(str(field.field_name), tuple(values))
    return dict(sorted(zip(names, values.values(), strict=True)))


ByBand = Annotated[dict[str, str], AfterValidator(_by_band)]
"""Canonical name of a band, each once and in alphabetical order -> text."""

SENTINEL_2_COMMON_NAMES: Mapping[str, tuple[str, ...]] = {
    "B01": ("coastal",),
    "B02": ("blue",),
    "B03": ("green",),
    "B04": ("red",),
    "B05": ("rededge", "rededge071", "rededge1"),
    "B06": ("rededge", "rededge075", "rededge2"),
    "B07": ("rededge", "rededge078", "rededge3"),
    "B08": ("nir",),
    "B8A": ("nir08", "rededge", "rededge4"),
    "B09": ("nir09", "water_vapor"),
    "B10": ("cirrus",),
    "B11": ("swir16", "swir1"),
    "B12": ("swir22", "swir2"),
}
"""STAC common names that catalogs give to Sentinel-2's bands: https://github.com/stac-extensions/eo#common-band-names."""

_SENTINEL_2 = re.compile(r"sentinel-?2", re.IGNORECASE)
# Platforms and instruments with other band numbers; others, such as a made-up name, contradict nothing.
_OTHER_NUMBERS = re.compile(
    r"landsat|modis|viirs|\b(?:etm\+?|oli|tm|mss|terra|aqua|aster|olci|wv-?\d|ps2\w*|psb\.sd)\b|"
    r"sentinel-?[13]|planet|rapideye|\bspot|worldview|pleiades|cbers|gaofen",
    re.IGNORECASE,
)
_LANDSAT = re.compile(r"landsat-?(\d)")


def stated_platform(properties: Mapping[str, object]) -> str:
    """Return the platform, constellation and instruments that a STAC item states, separated by spaces."""
    instruments = properties.get("instruments")
    words = [properties.get("platform"), properties.get("constellation")]
    words += instruments if isinstance(instruments, list) else []
    return " ".join(word for word in words if isinstance(word, str) and word)


def other_platform(stated: str) -> str:
    """Return the platform that an item states, if it does not number its bands as Sentinel-2 does.

    Args:
        stated: result of `stated_platform`.

    Returns:
        The platform in the spelling of STAC, such as `landsat-5`; `landsat-8` for OLI, whichever satellite carries it;
        empty for Sentinel-2 and unknown platforms.
    """
    text = stated.lower().replace("_", "-")
    known = [word for word in text.split() if _OTHER_NUMBERS.search(word)]
    if not known or _SENTINEL_2.search(text):
        return ""
    if "oli" in known and not _LANDSAT.match(known[0]):
        return "landsat-8"
    return _LANDSAT.sub(r"landsat-\1", known[0])


def is_sentinel_2_band(name: str, common_name: str = "", platform: str = "") -> bool:
    """Return True if a name is that of a Sentinel-2 band, and common name and platform do not contradict it.

    Args:
        name: canonical name of the band.
        common_name: its common name, or an empty string.
        platform: platform of the tiles as in the manifest; empty for Sentinel-2 or an unknown one.
    """
    common = common_name.lower()
    return not platform and name in SENTINEL_2_BANDS and (not common or common in SENTINEL_2_COMMON_NAMES[name])


def informative_common_names(bands: Sequence[str], common_names: Sequence[str]) -> tuple[str, ...]:
    """Return the common names; empty if none says more than the name of its band."""
    pairs = zip(bands, common_names, strict=True) if common_names else ()
    return tuple(common_names) if any(common not in {"", band.lower()} for band, common in pairs) else ()
