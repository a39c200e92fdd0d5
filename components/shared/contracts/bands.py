"""Canonical band names, and their conversion from the spellings of users and catalogs."""

import re

SENTINEL_2_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
"""ESA's names, in order of wavelength."""

RGB_BANDS = ("red", "green", "blue")
"""What the three channels of a JPEG or PNG are called (STAC's common names)."""

_SENTINEL_2_SPELLING = re.compile(r"B0*(\d{1,2})(A?)", re.IGNORECASE)


def canonical_band(name: str) -> str:
    """Return the canonical name of a band.

    Sentinel-2 bands may be written `B1`, `b01`, `B8a` or `B08A`; other names are kept.

    Args:
        name: a name from a catalog, a file or a user.

    Returns:
        The name as used in the manifest.
    """
    match = _SENTINEL_2_SPELLING.fullmatch(name.strip())
    if not match:
        return name.strip()
    number, suffix = int(match[1]), match[2].upper()
    spelled = f"B{number}{suffix}" if suffix else f"B{number:02d}"
    return spelled if spelled in SENTINEL_2_BANDS else name.strip()


def distinct_bands(parameter: str, bands: tuple[str, ...]) -> tuple[str, ...]:
    """Return the canonical names listed by a parameter, checking that they are unique.

    Args:
        parameter: the parameter's name, for the message.
        bands: names in any spelling.

    Returns:
        The canonical names, in order.

    Raises:
        ValueError: a name is empty or repeated; pydantic turns this into a ParameterError.
    """
    names = tuple(canonical_band(band) for band in bands)
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated or "" in names:
        raise ValueError(
            f"`{parameter}` must name each band once. "
            f"Received: {parameter}={list(bands)}, where {repeated or ['']} is repeated or empty."
        )
    return names
