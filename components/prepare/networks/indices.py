"""Spectral indices: names, formulas and the bands they need per sensor. This module does not import Keras.

Formulas as in https://github.com/awesome-spectral-indices/awesome-spectral-indices.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from tilepipe.components.shared.contracts.bands import canonical_band
from tilepipe.components.shared.contracts.manifest import Dtype
from tilepipe.components.shared.errors import BandError

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


def find_indices(names: Iterable[str], bands: Sequence[str], sensor: Sensor) -> tuple[SpectralIndex, ...]:
    """Find the bands that indices need.

    Args:
        names: canonical names of indices.
        bands: bands of the manifest.
        sensor: the sensor that defines the band numbers.

    Returns:
        The indices, in order.

    Raises:
        BandError: the manifest lacks a band that an index needs.
    """
    return tuple(_find_index(name, bands, sensor) for name in names)


def _find_index(name: str, bands: Sequence[str], sensor: Sensor) -> SpectralIndex:
    difference = _DIFFERENCE.fullmatch(name)
    if difference is not None:
        return SpectralIndex(name, tuple(_find_band(band, (band,), name, bands) for band in difference.groups()))
    colors: tuple[Color, ...] = ("nir", "red", "blue") if name == EVI else NORMALIZED_DIFFERENCES[name]
    return SpectralIndex(
        name,
        tuple(
            _find_band(color, (color, *_OTHER_NAMES.get(color, ()), *_NUMBERED[sensor][color]), name, bands)
            for color in colors
        ),
    )


def _find_band(wanted: str, spellings: tuple[str, ...], index: str, bands: Sequence[str]) -> str:
    present = {band.lower(): band for band in bands}
    for spelling in spellings:
        if spelling.lower() in present:
            return present[spelling.lower()]
    known = f" ({' or '.join(spellings)})" if len(spellings) > 1 else ""
    raise BandError(
        f"An index must be of bands that the tiles have. Received: {index}, which takes {wanted}{known}, for "
        f"tiles of {', '.join(bands)}. Set `sensor`, ingest that band, or name two of these: ND(...,...)."
    )
