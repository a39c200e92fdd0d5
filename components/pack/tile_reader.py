"""From a row of the tile table to a record of a shard, or to the reason why not."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tilepipe.components.pack.band_order import BandOrder
from tilepipe.components.pack.checksum import verify
from tilepipe.components.pack.decode import Picture, Pixels, decode
from tilepipe.components.pack.statistics import Moments, moments
from tilepipe.components.pack.tfrecord import encode_example, frame
from tilepipe.components.shared import storage
from tilepipe.components.shared.bands import canonical_band
from tilepipe.components.shared.errors import SourceError, TileError


@dataclass(frozen=True, slots=True)
class Tile:
    """What the tile table says of one tile."""

    tile_id: str
    uri: str
    label: str
    bytes: int | None
    checksum: str | None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A tile that cannot be used."""

    tile: Tile
    reason: str


@dataclass(frozen=True, slots=True)
class Record:
    """A tile that is ready to be written."""

    tile: Tile
    framed: bytes
    moments: Moments | None
    """Of the bands that are kept; None where nobody asked."""
    is_unverified: bool
    """Whether its source gives a checksum of a kind that is not known."""


@dataclass(frozen=True)
class Layout:
    """What every tile must be, and what is kept of it."""

    shape: tuple[int, int, int]
    """`(height, width, bands)` in the files."""
    dtype: str
    order: BandOrder
    keep: tuple[int, ...]
    """Places of the bands that are kept, in their new order."""

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands that are kept."""
        return tuple(self.order.names[place] for place in self.keep)

    @property
    def tile_bytes(self) -> int:
        """Size of the pixels that are kept of one tile."""
        return self.shape[0] * self.shape[1] * len(self.keep) * np.dtype(self.dtype).itemsize


def fetch(tile: Tile, expected_shape: tuple[int, int, int] | None = None) -> tuple[Picture, bool]:
    """Read and decode one tile.

    Args:
        tile: which one.
        expected_shape: what its header must state, or None.

    Returns:
        The picture, and whether its checksum was of an unknown kind.

    Raises:
        TileError: it is missing, damaged, other than its source promises, blank, or of another shape.
        StorageError: the disk or the bucket cannot be read, which is no tile's fault.
    """
    try:
        data = storage.read_bytes(tile.uri)
    except SourceError:
        raise TileError("it is missing") from None
    is_unverified = verify(data, tile.bytes, tile.checksum)
    picture = decode(data, expected_shape)
    pixels = picture.pixels
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise TileError("it has pixels that are no finite numbers")
    if not pixels.any() or (picture.nodata != 0 and (pixels == picture.nodata).all()):
        raise TileError(f"it is blank: all pixels are {pixels.flat[0]}")
    return picture, is_unverified


def read_record(tile: Tile, *, layout: Layout, labels: Mapping[str, int], with_moments: bool) -> Record | Rejected:
    """Turn one tile into a record.

    Args:
        tile: which one.
        layout: what it must be.
        labels: index of each class.
        with_moments: whether its statistics are wanted.

    Returns:
        The record, or why there is none.

    Raises:
        StorageError: the disk or the bucket cannot be read.
    """
    try:
        picture, is_unverified = fetch(tile, layout.shape)
        if picture.pixels.dtype.name != layout.dtype:
            raise TileError(f"its pixels are {picture.pixels.dtype.name}, where the tiles' are {layout.dtype}")
        _check_descriptions(picture.descriptions, layout.order)
    except TileError as error:
        return Rejected(tile, str(error))
    image = _kept(picture.pixels, layout.keep)
    example = encode_example(image.tobytes(), labels[tile.label], tile.tile_id)
    return Record(tile, frame(example), moments(image) if with_moments else None, is_unverified)


def _kept(pixels: Pixels, keep: tuple[int, ...]) -> Pixels:
    if keep == tuple(range(pixels.shape[-1])):
        return np.ascontiguousarray(pixels)
    return np.ascontiguousarray(pixels.take(keep, axis=-1))


def _check_descriptions(descriptions: tuple[str, ...], order: BandOrder) -> None:
    """A file that names its bands must not name them otherwise than the rest, unless the user knows better."""
    if not descriptions or order.stated_by == "user":
        return
    names = _canonical(descriptions)
    if names != order.names and (order.stated_by == "files" or set(names) == set(order.names)):
        raise TileError(f"its bands are {', '.join(names)}, where the tiles' are {', '.join(order.names)}")


@functools.lru_cache(maxsize=64)
def _canonical(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(canonical_band(name) for name in names)


def tile_of(row: Mapping[str, Any]) -> Tile:
    """A row of the tile table, as a dictionary, as a tile."""
    return Tile(row["tile_id"], row["uri"], row["label"], row["bytes"], row["checksum"])
