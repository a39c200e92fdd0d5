"""Combine decoded pictures into the packed image: nodata, blank tiles, sizes and bands."""

from collections.abc import Sequence

import numpy as np

from tilepipe.components.shared.errors import TileError
from tilepipe.components.shared.tiles.fit import Fit, fit_into
from tilepipe.components.shared.tiles.picture import Mask, Picture, Pixels, is_not
from tilepipe.components.shared.tiles.resample import Resampling


def masks(pictures: Sequence[Picture], max_nodata_percent: float = 100.0) -> list[Mask | None]:
    """Compute the mask of valid pixels of each picture, and reject tiles that are not worth packing.

    Args:
        pictures: the bands of one tile.
        max_nodata_percent: largest accepted percentage of nodata, as the mean over the bands. Defaults to 100.

    Returns:
        For each picture a mask of its shape, or None if all pixels are valid.

    Raises:
        TileError: if the tile is blank, has too much nodata, or has pixels that are neither finite nor nodata.
    """
    valid = [_valid(picture) for picture in pictures]
    if all(mask is None for mask in valid):
        if all(_is_plain(picture.pixels) for picture in pictures):
            raise TileError(f"it is blank: {_plainly([picture.pixels for picture in pictures])}")
        return valid
    bands = sum(picture.pixels.shape[-1] for picture in pictures)
    missing = sum((1 - mask.mean()) * mask.shape[-1] for mask in valid if mask is not None)
    if not any(mask is None or mask.any() for mask in valid):
        raise TileError(f"it is blank: {_plainly([picture.pixels for picture in pictures])}, which is nodata")
    if missing / bands * 100 > max_nodata_percent:
        raise TileError(f"{missing / bands:.1%} of it is nodata, where at most {max_nodata_percent:g} % may be")
    return valid


def assemble(
    pictures: Sequence[Picture],
    valid: Sequence[Mask | None],
    size: tuple[int, int],
    method: Resampling,
    fill: float,
    fit: Fit,
) -> tuple[Pixels, Mask | None]:
    """Stack the bands at one size, with one nodata value.

    Args:
        pictures: the bands, in order.
        valid: their masks, from `masks`.
        size: `(height, width)` of the result.
        method: resampling method for pictures of other sizes.
        fill: the value of nodata pixels, which the dtype must be able to represent.
        fit: how pictures of another ratio of height and width are resized.

    Returns:
        The image, contiguous, `(height, width, bands)` in the dtype of the pictures; and a bool mask of its valid
        pixels, or None if all are valid.
    """
    parts = [fit_into(one.pixels, size, method, mask, fit) for one, mask in zip(pictures, valid, strict=True)]
    image = parts[0][0] if len(parts) == 1 else np.concatenate([part for part, _ in parts], axis=-1)
    if all(mask is None for _, mask in parts):
        return np.ascontiguousarray(image), None
    whole = [np.ones(part.shape, np.bool_) if mask is None else mask for part, mask in parts]
    mask = whole[0] if len(whole) == 1 else np.concatenate(whole, axis=-1)
    return np.ascontiguousarray(np.where(mask, image, image.dtype.type(fill))), mask


def _valid(picture: Picture) -> Mask | None:
    pixels, nodata = picture.pixels, picture.nodata
    if nodata is None:
        valid = None
    else:
        valid = is_not(pixels, nodata)
        valid = None if valid.all() else valid
    if picture.valid is not None:
        stated = np.broadcast_to(picture.valid, pixels.shape)
        valid = stated.copy() if valid is None else valid & stated
    if pixels.dtype.kind == "f":
        numbers = pixels if valid is None else pixels[valid]
        if not np.isfinite(numbers).all():
            has_nan = np.isnan(numbers).any()
            found = 'NaN pixels; if they are nodata, set the option "nodata" to "nan"' if has_nan else "infinite pixels"
            raise TileError(f"it has {found}")
    return valid


def _is_plain(pixels: Pixels) -> bool:
    """Check whether every band is constant; comparing two pixels first rules out most tiles at no cost."""
    height, width, _ = pixels.shape
    first = pixels[0, 0]
    if height * width == 1 or first.tobytes() != pixels[height // 2, width // 2].tobytes():
        return False
    return bool((pixels == first).all())


def _plainly(pictures: Sequence[Pixels]) -> str:
    values = np.unique(np.concatenate([pixels[0, 0] for pixels in pictures]))
    return f"all pixels are {values[0]}" if len(values) == 1 else "each band is constant"
