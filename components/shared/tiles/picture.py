"""Content of an image file, without the libraries that decode it, which not every image has."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Scaling = tuple[tuple[int, float, float], ...]


@dataclass(frozen=True)
class Picture:
    """Content of an image file."""

    pixels: Pixels
    """`(height, width, bands)`, little-endian."""
    descriptions: tuple[str, ...] = ()
    """Names of the bands in the file itself; empty unless each band has one."""
    nodata: float | None = None
    """Nodata value of the file, may be NaN; None if the file states none, or one that its pixels cannot have."""
    valid: Mask | None = None
    """Mask of the valid pixels that a mask or an alpha channel states, `(height, width, bands)` or `(height, width,
    1)`; None if there is none or all pixels are valid."""
    has_alpha: bool = False
    """True if the file marks the last band as alpha, and it is still among `pixels`."""
    alpha_is_doubtful: bool = False
    """True if that mark proves little: TIFFs of red, green, blue and near infrared often have it."""
    scaling: Scaling = ()
    """Scale and offset of each band that is not (1, 0), with its index, as GDAL's metadata state them."""


def is_not(pixels: Pixels, nodata: float) -> Mask:
    """Compare pixels with a nodata value that their dtype can represent, which may be NaN; True where they differ."""
    mask: Mask = ~np.isnan(pixels) if math.isnan(nodata) else pixels != pixels.dtype.type(nodata)
    return mask
