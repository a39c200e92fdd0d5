"""The mask of the valid pixels of a scene: an alpha band, the mask in a GeoTIFF, or the `.msk` file beside it."""

import contextlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tilepipe.components.predict_scenes.scene.affine_maps import Transform, locate
from tilepipe.components.predict_scenes.scene.gdal_access import open_raster
from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.storage import storage
from tilepipe.components.shared.tiles.validity import has_local_sidecar, has_remote_sidecar

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class MaskReader:
    """Reader of the mask of a file; pixels beyond the file are invalid."""

    raster: Any
    transform: Transform
    """That of the common grid."""
    alpha: int | None = None
    """Number of the alpha band; None without one."""
    sidecar: Any = None
    """The `.msk` file; None without one."""

    def read(self, row: int, column: int, height: int, width: int, bands: Sequence[int]) -> list[Mask]:
        """Read a rectangle of the common grid, from the nearest pixels of the file.

        Returns:
            `(height, width)` for each band, the same unless the `.msk` file has a mask for each band.
        """
        from rasterio.windows import Window

        inverse = ~self.raster.transform
        x, y = locate(self.transform, column + 0.5 + np.arange(width)[None], row + 0.5 + np.arange(height)[:, None])
        x, y = (np.floor(place).astype(np.int64) for place in locate(inverse, x, y))
        inside: Mask = (x >= 0) & (x < self.raster.width) & (y >= 0) & (y < self.raster.height)
        if not inside.any():
            return [inside] * len(bands)
        left, top = int(x[inside].min()), int(y[inside].min())
        window = Window(left, top, int(x[inside].max()) - left + 1, int(y[inside].max()) - top + 1)
        if self.alpha:
            valid = self.raster.read(self.alpha, window=window) > 0
        elif _has_mask(self.raster):
            valid = self.raster.dataset_mask(window=window) > 0
        else:
            valid = np.ones((window.height, window.width), np.bool_)
        masks = [valid]
        if self.sidecar is not None:
            beside = self.sidecar.read(list(bands) if self.sidecar.count > 1 else [1], window=window) > 0
            masks = [valid & each for each in beside]
        found = [np.zeros_like(inside) for _ in masks]
        for placed, mask in zip(found, masks, strict=True):
            placed[inside] = mask[y[inside] - top, x[inside] - left]
        return found if len(found) == len(bands) else found * len(bands)


def open_mask(
    stack: contextlib.ExitStack,
    uri: str,
    raster: Any,  # noqa: ANN401 - rasterio ships no types
    named: Mapping[str, int],
    transform: Transform,
) -> MaskReader | None:
    """Open the mask of a file; None if it has none, or states only nodata values.

    A named band is a band, although many files mark near infrared as alpha.

    Args:
        stack: Closes the `.msk` file.
        uri: Normalized address of the file.
        raster: The file.
        named: Number of each named band.
        transform: Transform of the common grid.

    Raises:
        SourceError: The `.msk` file is no mask of the file.
        StorageError: It cannot be read.
    """
    alpha = next((index for index in _marked_as_alpha(raster) if index not in _bands(named)), None)
    sidecar = _open_sidecar(stack, uri, raster)
    if alpha is None and sidecar is None and not _has_mask(raster):
        return None
    return MaskReader(raster, transform, alpha, sidecar)


def without_wrong_alpha(stack: contextlib.ExitStack, raster: Any, named: Mapping[str, int]) -> Any:  # noqa: ANN401
    """Return a file of which no named band is marked as alpha, by whose zeros GDAL's warp would erase all bands."""
    from rasterio import MemoryFile
    from rasterio import open as open_file
    from rasterio.enums import ColorInterp
    from rasterio.shutil import copy

    wrong = {index for index in _marked_as_alpha(raster) if index in _bands(named)}
    if not wrong:
        return raster
    view = stack.enter_context(MemoryFile(ext=".vrt")).name
    copy(raster, view, driver="VRT")
    with open_file(view, "r+", driver="VRT") as file:
        file.colorinterp = [
            ColorInterp.undefined if index in wrong else kind for index, kind in enumerate(raster.colorinterp, 1)
        ]
    return stack.enter_context(open_file(view, driver="VRT"))


def _bands(named: Mapping[str, int]) -> set[int]:
    return {index for name, index in named.items() if name.lower() != "alpha"}


def _marked_as_alpha(raster: Any) -> list[int]:  # noqa: ANN401
    from rasterio.enums import ColorInterp

    return [index for index, kind in enumerate(raster.colorinterp, 1) if kind == ColorInterp.alpha]


def _has_mask(raster: Any) -> bool:  # noqa: ANN401
    """Return whether a GeoTIFF has a mask within, other than alpha."""
    from rasterio.enums import MaskFlags

    flags = raster.mask_flag_enums[0]
    return MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags


def _open_sidecar(stack: contextlib.ExitStack, uri: str, raster: Any) -> Any:  # noqa: ANN401
    """Open the `.msk` file, which GDAL does not look for: it would have to list the folder, or the whole prefix."""
    from rasterio.errors import NotGeoreferencedWarning

    beside = f"{uri}.msk"
    if not (has_remote_sidecar(uri) or has_local_sidecar(uri)):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # it lies where the scene lies
        sidecar = stack.enter_context(open_raster(beside))
    size = raster.height, raster.width
    if (sidecar.height, sidecar.width) != size or sidecar.count not in {1, raster.count}:
        raise SourceError(
            "The mask beside a scene must have its size, and one band or as many as the scene. Received: "
            f"{storage.shown(beside)} with {sidecar.count} bands of {sidecar.height} x {sidecar.width} pixels, for "
            f"{raster.count} bands of {raster.height} x {raster.width}. Correct or remove it."
        )
    return sidecar
