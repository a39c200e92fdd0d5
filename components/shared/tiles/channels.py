"""Conversion of grey and color images to one number of channels."""

from dataclasses import replace
from typing import Literal

import numpy as np

from tilepipe.components.shared.tiles.picture import Mask, Picture, Pixels, is_not

Channels = Literal["", "rgb", "grey"]
"""Channels that all images are converted to; empty leaves them as they are."""

CHANNEL_COUNTS: dict[Channels, int | None] = {"": None, "rgb": 3, "grey": 1}

# Pillow's fixed-point weights of ITU-R BT.601:
# https://github.com/python-pillow/Pillow/blob/main/src/libImaging/Convert.c
_RED, _GREEN, _BLUE, _BITS = 19595, 38470, 7471, 16


def converted(picture: Picture, channels: Channels) -> Picture:
    """Repeat a single channel three times, or compute the luma of three.

    Returns:
        The converted picture; the same if it has these channels, or neither one nor three.
    """
    bands = picture.pixels.shape[-1]
    if channels == "rgb" and bands == 1:
        return replace(picture, pixels=picture.pixels.repeat(3, axis=-1), descriptions=())
    if channels == "grey" and bands == 3:
        valid: Mask | None = picture.valid
        if picture.nodata is not None:
            stated = is_not(picture.pixels, picture.nodata)
            valid = stated if valid is None else np.logical_and(stated, valid)
        if valid is not None:
            valid = np.logical_and.reduce(valid, axis=-1, keepdims=True)
        return Picture(_luma(picture.pixels), (), None, None if valid is None or valid.all() else valid)
    return picture


def _luma(pixels: Pixels) -> Pixels:
    if pixels.dtype.kind == "f":
        weights = np.array([_RED, _GREEN, _BLUE], np.float64) / (1 << _BITS)
        return np.asarray(np.sum(pixels * weights, axis=-1, keepdims=True), pixels.dtype)
    weighted = np.sum(pixels.astype(np.int64) * np.array([_RED, _GREEN, _BLUE]), axis=-1, keepdims=True)
    rounded: Pixels = (weighted + (1 << (_BITS - 1))) >> _BITS
    return rounded.astype(pixels.dtype)
