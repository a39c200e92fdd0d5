"""Validity of pixels that is stated outside their numbers: alpha channels, sidecar masks, catalogs and the user."""

import io
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tilepipe.components.shared.contracts.bands import BandScaling
from tilepipe.components.shared.errors import SourceError, StorageError, TileError
from tilepipe.components.shared.storage import storage
from tilepipe.components.shared.storage.sizes import MAX_BYTES
from tilepipe.components.shared.tiles.alpha import AlphaPolicy, split_alpha
from tilepipe.components.shared.tiles.channels import Channels
from tilepipe.components.shared.tiles.decode import size_text, stated_nodata
from tilepipe.components.shared.tiles.picture import Mask, Picture, Scaling, is_not
from tilepipe.components.shared.tiles.tiff.tiff_pages import check_segments

_TIFF_SUFFIXES = (".tif", ".tiff")


@dataclass(frozen=True)
class ValidityRules:
    """Statements on validity that hold for all tiles."""

    alpha: AlphaPolicy = "auto"
    nodata: tuple[float | None, ...] = ()
    """Nodata value of each band, for files that state none; a single value is for all bands, and empty for none."""
    has_sidecars: bool = False
    """True if remote files may have a `.msk` file beside them; local files are always checked."""
    channels: Channels = ""
    """Channels that images are converted to."""
    max_bytes: int = MAX_BYTES
    """Largest size of a file, and of its pixels, in bytes."""
    scaling: BandScaling | None = None
    """Scale and offset of each band that are applied, or of all bands; empty for those of each tile or file, and None
    if none are applied."""


NO_RULES = ValidityRules()


def apply_rules(picture: Picture, rules: ValidityRules, bands: int | None, place: int | None = None) -> Picture:
    """Separate the alpha channel from the bands, and add the nodata values that the file itself does not state.

    Args:
        picture: the content of a file.
        rules: the statements.
        bands: number of bands without transparency; None if unknown, so that a channel marked as alpha is no band.
        place: index of the band in `rules.nodata` if the file holds a single band. Defaults to None.

    Returns:
        The picture, with all validity in `nodata` and `valid`.

    Raises:
        TileError: if the use of an alpha channel is not certain.
    """
    if picture.has_alpha and rules.alpha != "band":
        if rules.alpha == "auto" and bands == picture.pixels.shape[-1]:
            _check_named_alpha(picture)
        else:
            picture = split_alpha(picture, rules.alpha)
    return _with_nodata(picture, rules.nodata, place) if rules.nodata and picture.nodata is None else picture


def scaled(
    picture: Picture, stated: tuple[float, ...] | None, rules: ValidityRules, place: int | None = None
) -> Picture:
    """Apply scale and offset.

    Args:
        picture: the content of a file, with all validity in `nodata` and `valid`.
        stated: scale and offset of each band in turn, or of all bands, if the tile has its own.
        rules: the statements; `scaling` is not None.
        place: index of the band if the file holds a single band. Defaults to None.

    Returns:
        The picture in float32, with NaN as nodata if it had a nodata value.

    Raises:
        TileError: if neither the source nor the file states a scale or an offset, or for another number of bands.
    """
    bands = picture.pixels.shape[-1]
    pairs = rules.scaling or ()
    if stated is not None:
        pairs = tuple(zip(stated[::2], stated[1::2], strict=True))
    elif not pairs:
        of_band = {band: (scale, offset) for band, scale, offset in picture.scaling}
        if not of_band:
            raise TileError("neither its source nor its file states a scale or an offset, which are to be applied")
        pairs, place = tuple(of_band.get(band, (1.0, 0.0)) for band in range(bands)), None
    if len(pairs) == 1:
        pairs = pairs * bands
    elif place is not None:
        pairs = pairs[place : place + 1]
    if len(pairs) != bands:
        raise TileError(f"it has {bands} bands, but its source states the scales of {len(pairs)}")
    scales, offsets = np.array(pairs).T
    pixels = (picture.pixels * scales + offsets).astype(np.float32)
    if picture.nodata is None:
        return replace(picture, pixels=pixels, scaling=())
    valid = is_not(picture.pixels, picture.nodata)
    return replace(picture, pixels=np.where(valid, pixels, np.float32(np.nan)), nodata=math.nan, scaling=())


def check_scaling(pictures: Sequence[Picture], expected: tuple[Scaling, ...] | None) -> None:
    """Check that a tile states the scale and the offset that most tiles state, since neither is applied.

    Args:
        pictures: the content of the tile.
        expected: scale and offset of each file; None accepts any.

    Raises:
        TileError: if they differ.
    """
    if expected is None:
        return
    for picture, wanted in zip(pictures, expected, strict=True):
        if picture.scaling != wanted:
            raise TileError(
                f"it states {scaling_text(picture.scaling)}, where the tiles state {scaling_text(wanted)}, and none is "
                "applied; make them equal, or set pack_options='{\"allow_mixed_scaling\": true}'"
            )


def scaling_text(scaling: Scaling) -> str:
    """Format scale and offset of the bands, such as `scale 0.0001 and offset -0.1`."""
    if not scaling:
        return "no scale or offset"
    pairs = sorted({(scale, offset) for _, scale, offset in scaling})
    return ", ".join(f"scale {scale:g} and offset {offset:g}" for scale, offset in pairs)


def has_remote_sidecar(uri: str) -> bool:
    """Check whether a remote GeoTIFF has a `.msk` file; a store that denies the answer counts as no."""
    if not storage.is_remote(uri) or not may_have_sidecar(uri):
        return False
    try:
        return storage.is_file(f"{uri}.msk")
    except (SourceError, StorageError):  # S3 answers 403 for a missing key where listing is not allowed
        return False


def has_local_sidecar(uri: str) -> bool:
    """Check whether a GeoTIFF on this machine has a `.msk` file."""
    return may_have_sidecar(uri) and os.path.exists(f"{uri}.msk")  # noqa: PTH110 - a Path for each tile costs more


def with_sidecar(picture: Picture, uri: str, rules: ValidityRules, read: Callable[[str], bytes]) -> Picture:
    """Add the mask in the `.msk` file beside a GeoTIFF, as GDAL writes it, to `valid`.

    Format: https://gdal.org/en/stable/development/rfc/rfc15_nodatabitmask.html.

    Raises:
        TileError: if the mask is damaged or has another size.
    """
    is_remote = storage.is_remote(uri)
    if not (rules.has_sidecars and may_have_sidecar(uri) if is_remote else has_local_sidecar(uri)):
        return picture
    try:
        data = read(f"{uri}.msk")
    except SourceError:  # the other tiles have masks
        return picture
    mask = _decode_sidecar(data, rules.max_bytes)
    if mask.shape[:2] != picture.pixels.shape[:2] or mask.shape[2] not in {1, picture.pixels.shape[2]}:
        raise TileError(
            f"its mask {uri.rpartition('/')[2]}.msk is {size_text(mask.shape)}, where it is "
            f"{size_text(picture.pixels.shape)}"
        )
    valid = mask if picture.valid is None else mask & picture.valid
    return replace(picture, valid=None if valid.all() else valid)


def may_have_sidecar(uri: str) -> bool:
    """Return True if a `.msk` file beside the file at this address would be its mask, as beside a TIFF."""
    return uri[-5:].lower().endswith(_TIFF_SUFFIXES)


def _decode_sidecar(data: bytes, max_bytes: int) -> Mask:
    import tifffile

    try:
        with tifffile.TiffFile(io.BytesIO(data)) as tiff:
            page = tiff.pages.first
            if page.nbytes > max_bytes:
                raise TileError(f"its .msk file claims {page.nbytes:,} bytes")
            check_segments(page, data, max_bytes)
            flags = page.asarray(maxworkers=1).astype(bool)
            axes = page.axes
    except TileError:
        raise
    except Exception as error:  # for a damaged file tifffile raises any type
        raise TileError(f"its .msk file does not decode: {type(error).__name__}: {str(error)[:200]}") from error
    if axes == "SYX":
        flags = np.moveaxis(flags, 0, -1)
    mask: Mask = flags[..., np.newaxis] if flags.ndim == 2 else flags
    return mask


def _check_named_alpha(picture: Picture) -> None:
    """Refuse a named band that looks like transparency: with names for all channels, a mask would be a band."""
    channel = picture.pixels[..., -1]
    if not picture.alpha_is_doubtful or channel.all() or not channel.any():
        return
    if ((channel == 0) | (channel == channel.max())).all():
        raise TileError(
            "its last channel is marked as alpha and holds only transparent and opaque pixels, but is named as a "
            'band; set pack_options=\'{"alpha": "mask"}\' and leave its name out, or set "band"'
        )


def _with_nodata(picture: Picture, stated: tuple[float | None, ...], place: int | None) -> Picture:
    bands = picture.pixels.shape[-1]
    if len(stated) == 1:
        chosen = stated * bands
    elif place is not None:
        chosen = stated[place : place + 1]
    else:
        chosen = stated[:bands]
    if len(chosen) != bands:
        raise TileError(f"it has {bands} bands, but its source states the nodata values of {len(stated)}")
    numbers = [None if one is None else stated_nodata(repr(one), picture.pixels.dtype) for one in chosen]
    if all(one is None for one in numbers):
        return picture
    if len({repr(one) for one in numbers}) == 1:
        return replace(picture, nodata=numbers[0])
    valid = np.ones(picture.pixels.shape, bool)
    for band, number in enumerate(numbers):
        if number is not None:
            valid[..., band] = is_not(picture.pixels[..., band], number)
    if picture.valid is not None:
        valid &= picture.valid
    return replace(picture, valid=None if valid.all() else valid)
