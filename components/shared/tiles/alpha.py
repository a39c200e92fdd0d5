"""Alpha channels: transparency that becomes the mask of valid pixels, or a band that is only marked as alpha."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from tilepipe.components.shared.errors import TileError
from tilepipe.components.shared.tiles.picture import Picture

AlphaPolicy = Literal["auto", "mask", "band"]
"""Use of a channel that a file marks as alpha."""


def is_transparency(picture: Picture) -> bool:
    """Check whether an alpha channel can only be transparency.

    Returns:
        True if the format defines the channel as alpha (PNG, WebP), or if all of its values are 0 or the maximum.
        False for the other TIFFs: NAIP and others mark near infrared as alpha.
    """
    if not picture.alpha_is_doubtful:
        return True
    values = picture.pixels[..., -1]
    return bool(((values == 0) | (values == _opaque(values.dtype))).all())


def split_alpha(picture: Picture, policy: AlphaPolicy) -> Picture:
    """Turn the alpha channel into the mask of valid pixels, which are those whose alpha is not 0.

    GDAL's masks follow the same rule (https://gdal.org/en/stable/development/rfc/rfc15_nodatabitmask.html).

    Args:
        picture: a picture with an alpha channel.
        policy: `mask` accepts every alpha channel; `auto` only one that can be nothing but transparency.

    Returns:
        The picture without its alpha channel.

    Raises:
        TileError: if the channel may be a band.
    """
    if policy != "mask" and not is_transparency(picture):
        raise TileError(
            "its last channel is marked as alpha but holds other values than transparent and opaque, so it may be a "
            'band; set pack_options=\'{"alpha": "mask"}\', or name all bands and set "band"'
        )
    visible = picture.pixels[..., -1:] != 0
    valid = visible if picture.valid is None else visible & picture.valid[..., :-1]
    return Picture(
        picture.pixels[..., :-1],
        picture.descriptions[:-1],
        picture.nodata,
        None if valid.all() else valid,
        scaling=tuple(each for each in picture.scaling if each[0] < picture.pixels.shape[-1] - 1),
    )


def _opaque(dtype: npt.DTypeLike) -> float:
    dtype = np.dtype(dtype)
    return 1.0 if dtype.kind == "f" else float(np.iinfo(dtype).max)
