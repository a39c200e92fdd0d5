"""Small pictures of tiles for the report: JPEG data in three displayed bands."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tilepipe.components.evaluate.predict import SplitPredictions
from tilepipe.components.evaluate.tiles.choice import ShownTiles
from tilepipe.components.evaluate.tiles.chosen_tiles import read_chosen
from tilepipe.components.shared.contracts.bands import RGB_BANDS, SENTINEL_2_COMMON_NAMES, is_sentinel_2_band
from tilepipe.components.shared.contracts.manifest import Manifest

LONGEST_SIDE = 96
"""Largest height and width of a picture, in pixels."""
_QUALITY = 85
_MOST_BYTES = 3 * 2**19
"""Largest size of all pictures: as base64 they take 2.1 MB of a page that must stay below 5 MB."""
_DEVIATIONS = 2.0
"""Half the displayed range of values around the mean of a band, in standard deviations."""


@dataclass(frozen=True)
class Display:
    """Bands in which tiles are shown, and the range of values of each."""

    bands: tuple[str, ...]
    """Names of one band (gray) or three (red, green and blue)."""
    indices: tuple[int, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        """Choose the bands: red, green and blue by common name, else the first three, else the first.

        8-bit tiles keep their values. Others show the mean of the training tiles plus and minus two standard
        deviations, so that all tiles of a report can be compared.
        """
        names = [_common_names(manifest, index) for index in range(len(manifest.bands))]
        found = [next((i for i, these in enumerate(names) if color in these), None) for color in RGB_BANDS]
        colors = tuple(index for index in found if index is not None)
        first = tuple(range(3)) if len(manifest.bands) >= 3 else (0,)
        indices = colors if len(colors) == 3 else first
        ranges = [_range(manifest, index) for index in indices]
        lows, highs = zip(*ranges, strict=True)
        return cls(tuple(manifest.bands[index] for index in indices), indices, lows, highs)

    @property
    def description(self) -> str:
        """Sentence on the bands."""
        if len(self.bands) == 1:
            return f"Pictures show band {self.bands[0]}."
        red, green, blue = self.bands
        return f"Pictures show {red}, {green} and {blue} as red, green and blue."

    def picture(self, tile: npt.NDArray[Any]) -> bytes:
        """Draw a tile.

        Args:
            tile: `(height, width, bands)` in the order of the manifest.

        Returns:
            A JPEG of at most `LONGEST_SIDE` pixels per side, gray or in color.
        """
        import tensorflow as tf

        small = _shrunk(tile[:, :, list(self.indices)].astype(np.float32))
        lows, highs = np.array(self.lows, np.float32), np.array(self.highs, np.float32)
        shown = np.nan_to_num((small - lows) / np.where(highs > lows, highs - lows, 1))
        pixels = (np.clip(shown, 0, 1) * 255).round().astype(np.uint8)
        content: bytes = tf.io.encode_jpeg(pixels, quality=_QUALITY, chroma_downsampling=False).numpy()
        return content


def with_pictures(
    shown: ShownTiles, predictions: SplitPredictions, folders: Sequence[Path], manifest: Manifest
) -> ShownTiles:
    """Add pictures to the tiles of the report, up to 1.5 MiB in total, the most important tiles first."""
    if predictions.positions is None:
        return shown
    display, size = Display.of(manifest), 0
    positions = {tile.place: int(predictions.positions[tile.place]) for tile in shown}
    tiles = read_chosen(folders, predictions.split, manifest, positions.values())
    pictures: dict[int, bytes] = {}
    for tile in shown:
        picture = pictures.get(tile.place) or display.picture(tiles[positions[tile.place]])
        size += len(picture)  # the page repeats a picture wherever its tile is shown
        if size > _MOST_BYTES:
            break
        pictures[tile.place] = picture
    return replace(shown, pictures=pictures, bands=display.description)


def data_uri(jpeg: bytes) -> str:
    """Return the address of a picture that is part of the page."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"


def _common_names(manifest: Manifest, index: int) -> Sequence[str]:
    name = manifest.bands[index]
    stated = manifest.common_names[index].lower() if manifest.common_names else ""
    if not stated and is_sentinel_2_band(name, platform=manifest.platform):
        return SENTINEL_2_COMMON_NAMES[name]
    return (stated or name.lower(),)


def _range(manifest: Manifest, index: int) -> tuple[float, float]:
    if manifest.dtype == "uint8":
        return 0.0, 255.0
    band = manifest.statistics[index]
    reach = _DEVIATIONS * band.std
    return max(band.minimum, band.mean - reach), min(band.maximum, band.mean + reach)


def _shrunk(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Average whole blocks of pixels, so that no side is longer than `LONGEST_SIDE`."""
    height, width, bands = image.shape
    factor = -(-max(height, width) // LONGEST_SIDE)
    if factor == 1:
        return image
    down, across = min(factor, height), min(factor, width)
    cut = image[: height // down * down, : width // across * across]
    blocks = cut.reshape(height // down, down, width // across, across, bands)
    shrunk: npt.NDArray[np.float32] = blocks.mean(axis=(1, 3))
    return shrunk
