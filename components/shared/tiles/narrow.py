"""Conversion of pixels to the dtypes that the manifest can hold, without a change of their values."""

import math
from dataclasses import replace

import numpy as np

from tilepipe.components.shared.errors import TileError
from tilepipe.components.shared.tiles.decode import DTYPES
from tilepipe.components.shared.tiles.picture import Picture

_CONVERTED = {
    "int8": "int16",
    "uint32": "float32",
    "int32": "float32",
    "int64": "float32",
    "uint64": "float32",
    "float16": "float32",
    "float64": "float32",
}


def narrowed(picture: Picture) -> Picture:
    """Convert pixels of other dtypes: int8 to int16, all others to float32.

    float64 is rounded to the 7 digits of float32. Whole numbers must be represented exactly, since a class or a bit
    field would become another one; float32 holds those up to 16,777,216.

    Returns:
        The picture in a dtype of the manifest. Nodata that float32 cannot represent becomes part of the mask.

    Raises:
        TileError: if the dtype is not supported, or if float32 cannot represent a valid pixel.
    """
    pixels, nodata = picture.pixels, picture.nodata
    name = _CONVERTED.get(pixels.dtype.name)
    if name is None:
        raise TileError(f"its pixels are {pixels.dtype.name}, which is none of {', '.join((*DTYPES, *_CONVERTED))}")
    valid = picture.valid
    with np.errstate(over="ignore"):
        found = pixels.astype(f"<{np.dtype(name).str[1:]}")
        if nodata is not None and not math.isnan(nodata) and float(found.dtype.type(nodata)) != nodata:
            stated = pixels != pixels.dtype.type(nodata)
            valid = stated if valid is None else stated & valid
            nodata = None
    changed = np.isinf(found) if pixels.dtype.kind == "f" else found.astype(np.float64) != pixels
    if pixels.dtype.kind == "f":
        changed &= np.isfinite(pixels)
    if valid is not None:
        changed &= valid
    if nodata is not None and not math.isnan(nodata):
        changed &= pixels != nodata
    if changed.any():
        raise TileError(
            f"its pixels are {pixels.dtype.name}, and float32 cannot represent {np.count_nonzero(changed):,} of them, "
            f"such as {pixels[changed][0]}"
        )
    if valid is not None and (valid.all() or not valid.size):
        valid = None
    return replace(picture, pixels=found, nodata=nodata, valid=valid)
