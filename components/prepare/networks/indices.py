"""Spectral indices: names, formulas and the bands they need per sensor. This module does not import Keras.

Formulas as in https://github.com/awesome-spectral-indices/awesome-spectral-indices.
"""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from tilepipe.components.shared.contracts.bands import canonical_band, is_sentinel_2_band
from tilepipe.components.shared.contracts.manifest import Dtype
from tilepipe.components.shared.errors import BandError

logger = logging.getLogger("tilepipe.prepare")

Sensor = Literal["sentinel-2", "landsat-8"]
Color = Literal["blue", "green", "red", "nir", "swir16", "swir22"]
"""STAC's common names of the bands of each index; 16 and 22 mean 1.6 and 2.2 micrometers."""

NORMALIZED_DIFFERENCES: Mapping[str, tuple[Color, Color]] = {
    "NDVI": ("nir", "red"),
    "NDMI": ("nir", "swir16"),
    "NDWI": ("green", "nir"),  # McFeeters', of open water; Gao's of leaves is what NDMI is today
    "NBR": ("nir", "swir22"),
}
EVI = "EVI"
NAMES = (*NORMALIZED_DIFFERENCES, EVI)
"""All named indices."""

REFLECTANCE_ONE: Mapping[Dtype, float] = {"uint8": 255.0, "uint16": 10_000.0, "int16": 10_000.0, "float32": 1.0}
"""Default digital number of reflectance 1, which is that of Sentinel-2."""

# Band numbers differ between sensors: Landsat's B08 is the panchromatic band.
_NUMBERED: Mapping[Sensor, Mapping[Color, tuple[str, ...]]] = {
    "sentinel-2": {
        "blue": ("B02",),
        "green": ("B03",),
        "red": ("B04",),
        "nir": ("B08", "B8A"),
        "swir16": ("B11",),
        "swir22": ("B12",),
    },
    "landsat-8": {
        "blue": ("B02",),
        "green": ("B03",),
        "red": ("B04",),
        "nir": ("B05",),
        "swir16": ("B06",),
        "swir22": ("B07",),
    },
}
# Catalogs' other common names, https://github.com/stac-extensions/eo#common-band-names.
_OTHER_NAMES: Mapping[Color, tuple[str, ...]] = {"nir": ("nir08",), "swir16": ("swir1",), "swir22": ("swir2",)}
_DIFFERENCE = re.compile(r"ND\(\s*([^(),]+?)\s*,\s*([^(),]+?)\s*\)", re.IGNORECASE)


class SpectralIndex(NamedTuple):
    """An index over the bands of one manifest."""

    name: str
    bands: tuple[str, ...]
    """Bands a and b of (a - b) / (a + b); for EVI near infrared, red and blue."""

    @property
    def formula(self) -> str:
        """Formula with the band names of the manifest."""
        first, second, *rest = self.bands
        if rest:
            return f"2.5 ({first} - {second}) / ({first} + 6 {second} - 7.5 {rest[0]} + 1)"
        return f"({first} - {second}) / ({first} + {second})"


def checked_index(name: str) -> str:
    """Return the canonical name of an index.

    Args:
        name: one of NAMES in any case, or a normalized difference of two bands such as `ND(B08,B04)`.

    Returns:
        The name in capitals, bands in their canonical spelling.

    Raises:
        ValueError: it is neither.
    """
    if name.strip().upper() in NAMES:
        return name.strip().upper()
    difference = _DIFFERENCE.fullmatch(name.strip())
    if difference is None:
        raise ValueError(
            f"An index must be {', '.join(NAMES)} or a normalized difference of two bands such as 'ND(B08,B04)'. "
            f"Received: {name!r}. Correct `indices`."
        )
    first, second = canonical_band(difference[1]), canonical_band(difference[2])
    if first == second:
        raise ValueError(f"A normalized difference must be of two bands. Received: {name!r}. Correct `indices`.")
    return f"ND({first},{second})"


def find_indices(
    names: Iterable[str],
    bands: Sequence[str],
    sensor: Sensor,
    common_names: Sequence[str] = (),
    platform: str = "",
) -> tuple[SpectralIndex, ...]:
    """Find the bands that indices need, by common name, else by a name such as `nir`, else by number.

    Args:
        names: canonical names of indices.
        bands: bands of the manifest.
        sensor: the sensor that defines the band numbers.
        common_names: common name of each band as in the manifest, an empty string for none; may be empty.
        platform: platform of the tiles as in the manifest; empty if it is Sentinel-2 or unknown.

    Raises:
        BandError: the manifest lacks a band that an index needs, or only contradicted numbers name it.
    """
    known = _Bands(bands, common_names or ("",) * len(bands), sensor, platform)
    return tuple(known.find_index(name) for name in names)


@dataclass(frozen=True)
class _Bands:
    """The bands of one manifest, and the sensor that defines their numbers."""

    names: Sequence[str]
    common_names: Sequence[str]
    sensor: Sensor
    platform: str

    def find_index(self, name: str) -> SpectralIndex:
        difference = _DIFFERENCE.fullmatch(name)
        if difference is not None:
            return SpectralIndex(name, tuple(self._named(band, name) for band in difference.groups()))
        colors: tuple[Color, ...] = ("nir", "red", "blue") if name == EVI else NORMALIZED_DIFFERENCES[name]
        return SpectralIndex(name, tuple(self._color(color, name) for color in colors))

    def _named(self, band: str, index: str) -> str:
        """Return the band of a name that the user has given, or of a common name."""
        found = _spelled((band,), self.names, self.names) or _spelled((band,), self.common_names, self.names)
        if not found:
            raise self._missing(index, band, (band,))
        return found

    def _color(self, color: Color, index: str) -> str:
        spellings, numbers = (color, *_OTHER_NAMES.get(color, ())), _NUMBERED[self.sensor][color]
        found = _spelled(spellings, self.common_names, self.names)
        numbered = _spelled(numbers, self.names, self.names)
        if found:
            if numbered and numbered != found and self.sensor == "sentinel-2" and not self.platform:
                logger.info("%s takes %s, whose common name is %s, not %s", index, found, color, numbered)
            return found
        # A band whose common name is another color is none of these.
        unstated = [
            name for name, common in zip(self.names, self.common_names, strict=True) if self._fits(name, common)
        ]
        named = _spelled(spellings, unstated, unstated)
        if named:
            return named
        numbered = _spelled(numbers, unstated, unstated)
        if numbered and self._is_platform():
            return numbered
        if numbered:
            raise BandError(
                f"The numbers of bands must be those of the platform. Received: {index} of {numbered} as {color} by "
                f"the numbers of sensor={self.sensor}, for tiles of {self.platform}. Set `sensor`, or name two bands: "
                "ND(...,...)."
            )
        raise self._missing(index, color, (*spellings, *numbers))

    def _fits(self, name: str, common: str) -> bool:
        return not common or common == name.lower() or is_sentinel_2_band(name, common, self.platform)

    def _is_platform(self) -> bool:
        platforms = set(filter(None, self.platform.split(", ")))
        return platforms <= ({"landsat-8", "landsat-9"} if self.sensor == "landsat-8" else set())

    def _missing(self, index: str, wanted: str, spellings: tuple[str, ...]) -> BandError:
        known = f" ({' or '.join(spellings)})" if len(spellings) > 1 else ""
        described = [
            f"{name} ({common})" if common else name for name, common in zip(self.names, self.common_names, strict=True)
        ]
        return BandError(
            f"An index must be of bands that the tiles have. Received: {index}, which takes {wanted}{known}, for "
            f"tiles of {', '.join(described)}. Set `sensor`, ingest that band, or name two of these: ND(...,...)."
        )


def _spelled(spellings: Sequence[str], among: Sequence[str], names: Sequence[str]) -> str:
    """Return the name of the first band that is spelled in one of these ways; empty for none."""
    present: dict[str, str] = {}
    for spelling, name in zip(among, names, strict=True):
        present.setdefault(spelling.lower(), name)
    return next((present[each.lower()] for each in spellings if each.lower() in present), "")
