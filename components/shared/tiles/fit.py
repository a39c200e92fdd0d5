"""Fit of tiles of any shape into one size: stretched, padded, or cropped in the center."""

from typing import Literal

import numpy as np

from tilepipe.components.shared.tiles.picture import Mask, Pixels
from tilepipe.components.shared.tiles.resample import Resampling, resample

Fit = Literal["stretch", "pad", "crop"]
"""`pad` and `crop` keep the ratio of height and width."""


def fit_into(
    image: Pixels, size: tuple[int, int], method: Resampling, valid: Mask | None, fit: Fit
) -> tuple[Pixels, Mask | None]:
    """Resize an image.

    Args:
        image: `(height, width, bands)`.
        size: `(height, width)` of the result.
        method: resampling method.
        valid: bool mask of the valid pixels, in the shape of `image`; None for all.
        fit: `stretch` changes the ratio of height and width; `pad` scales the image to fit inside and centers it;
            `crop` scales the largest central part with the ratio of `size`.

    Returns:
        The resized image, and the mask of its valid pixels, or None if all are valid. Padding is not valid.
    """
    height, width = image.shape[:2]
    if fit == "stretch" or height * size[1] == width * size[0]:
        return resample(image, size, method, valid)
    if fit == "crop":
        scale = max(size[0] / height, size[1] / width)
        rows, columns = _center(height, size[0] / scale), _center(width, size[1] / scale)
        part = np.ascontiguousarray(image[rows, columns])
        return resample(part, size, method, None if valid is None else valid[rows, columns])
    scale = min(size[0] / height, size[1] / width)
    inner = min(size[0], max(1, int(height * scale + 0.5))), min(size[1], max(1, int(width * scale + 0.5)))
    small, mask = resample(image, inner, method, valid)
    rows, columns = _center(size[0], inner[0]), _center(size[1], inner[1])
    padded = np.zeros((*size, image.shape[2]), image.dtype)
    padded[rows, columns] = small
    known = np.zeros(padded.shape, np.bool_)
    known[rows, columns] = True if mask is None else mask
    return padded, None if known.all() else known


def _center(length: int, wanted: float) -> slice:
    part = min(length, max(1, int(wanted + 0.5)))
    start = (length - part) // 2
    return slice(start, start + part)
