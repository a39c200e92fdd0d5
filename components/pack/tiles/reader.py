"""From a row of the tile table to a record of a shard, or to the reason why not."""

import functools
import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xxhash

from tilepipe.components.pack.bands.order import BandOrder
from tilepipe.components.pack.cache.cache import CachedReader, TileCache
from tilepipe.components.pack.tiles.assemble import assemble, masks
from tilepipe.components.pack.tiles.checksum import verify
from tilepipe.components.pack.tiles.decode import Picture, Pixels, Shape, decode
from tilepipe.components.pack.tiles.example_decoder import decode_record
from tilepipe.components.pack.tiles.resample import Mask, Resampling
from tilepipe.components.shared.contracts.bands import canonical_band
from tilepipe.components.shared.contracts.tile_table import RecordFeature
from tilepipe.components.shared.errors import SourceError, TileError
from tilepipe.components.shared.records.example import frame_example
from tilepipe.components.shared.records.frames import Buffer
from tilepipe.components.shared.storage import storage


@dataclass(frozen=True, slots=True)
class Tile:
    """What the tile table says of one tile."""

    tile_id: str
    uri: str
    label: str
    bytes: int | None
    checksum: str | None
    member: str | None = None
    """Its path within the zip at `uri`."""
    offset: int | None = None
    """Where it starts in the TFRecord file at `uri`; it is `bytes` long."""
    band_uris: tuple[str, ...] | None = None
    """A file for each band of the table's, the first of which is `uri`."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A tile that cannot be used."""

    tile: Tile
    reason: str


@dataclass(frozen=True, slots=True)
class Record:
    """A tile that is ready to be written."""

    tile: Tile
    framed: tuple[Buffer, ...]
    """The framed record in parts: its pixels are copied once, into what is written."""
    digest: bytes
    """The same for the same pixels: 16 bytes."""
    is_unverified: bool
    """Whether its source gives a checksum that could not be checked."""
    image: Pixels
    """The pixels that are kept; `framed` has the same memory."""
    mask: Mask | None
    """Which of them count; all, where there is none."""


@dataclass(frozen=True)
class Layout:
    """What every tile must be, and what is kept of it."""

    shape: tuple[int, int, int]
    """Height and width of the tiles as they are packed, and how many bands the files have."""
    dtype: str
    order: BandOrder
    keep: tuple[int, ...]
    """Places of the bands that are kept, in their new order."""
    features: tuple[RecordFeature, ...] = ()
    """Where the bands are in a TFRecord; empty where tiles are files."""
    resizes: bool = False
    """Whether tiles of another height or width are resized, instead of left out."""
    resampling: Resampling = "bilinear"
    nodata: float | None = None
    """The number that stands for nothing in what is packed; None where no tile that was looked at names one."""
    max_nodata_percent: float = 100.0

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands that are kept."""
        return tuple(self.order.names[place] for place in self.keep)

    @property
    def tile_bytes(self) -> int:
        """Size of the pixels that are kept of one tile."""
        return self.shape[0] * self.shape[1] * len(self.keep) * np.dtype(self.dtype).itemsize

    @property
    def file_shape(self) -> Shape:
        """What the header of a file that holds all bands must state."""
        return (None, None, self.shape[2]) if self.resizes else self.shape


def content(tile: Tile, read_file: Callable[[str], bytes] = storage.read_bytes) -> bytes:
    """The bytes of one tile: a file, a member of a zip, or a record of a TFRecord file.

    Args:
        tile: which one; of a tile with a file for each band, the file at `uri`.
        read_file: gives the bytes of a whole file.

    Returns:
        All its bytes.

    Raises:
        SourceError: there is nothing there.
        StorageError: the disk or the bucket cannot be read.
    """
    if tile.member is not None:
        from tilepipe.components.shared.storage import zip_members

        return zip_members.read_member(tile.uri, tile.member)
    if tile.offset is not None and tile.bytes is not None:
        return storage.read_range(tile.uri, tile.offset, tile.bytes)
    return read_file(tile.uri)


def fetch(
    tile: Tile,
    features: Sequence[RecordFeature] = (),
    layout: Layout | None = None,
    read: Callable[[Tile], bytes] = content,
) -> tuple[list[Picture], bool]:
    """Read and decode one tile.

    Args:
        tile: which one.
        features: the bands in a TFRecord, where it is one.
        layout: what it must be; unless given, it may be anything, and all its bands are read.
        read: gives the bytes of the tile, or of a file of it.

    Returns:
        One picture of all bands, or one of each band that is kept where they come apart; and whether its source gives
        a checksum that could not be checked.

    Raises:
        TileError: it is missing, damaged, other than its source promises, or of another shape.
        StorageError: the disk or the bucket cannot be read, which is no tile's fault.
    """
    if tile.band_uris is not None:
        places = range(len(tile.band_uris)) if layout is None else layout.keep
        if layout is not None and len(tile.band_uris) != layout.shape[2]:
            raise TileError(f"it has files of {len(tile.band_uris)} bands, where the tiles have {layout.shape[2]}")
        return [_band(_file(tile, tile.band_uris[place]), read) for place in places], bool(tile.checksum)
    data = _read(tile, read)
    is_unverified = verify(data, tile.bytes, tile.checksum)
    if features:
        chosen = features if layout is None else [features[place] for place in layout.keep]
        return decode_record(data, chosen), is_unverified
    return [decode(data, None if layout is None else layout.file_shape)], is_unverified


def read_records(
    tiles: Sequence[Tile], *, layout: Layout, labels: Mapping[str, int], cache: TileCache | None = None
) -> list[Record | Rejected]:
    """Turn tiles into records, one after the other; their files are asked for together.

    Args:
        tiles: which ones; what comes of a few fits into the memory.
        layout: what they must be.
        labels: index of each class.
        cache: what was fetched before, and where to keep what is fetched now; None keeps nothing.

    Returns:
        For each the record, or why there is none.

    Raises:
        StorageError: the disk or the bucket cannot be read.
    """
    files = (file for tile in tiles for file in _whole_files(tile, layout))
    read_file = storage.asked(file.uri for file in files if cache is None or not cache.holds(cache.key_of(file)))
    read = functools.partial(content, read_file=read_file)
    return [_cached_record(tile, layout, labels, read, cache) for tile in tiles]


def _whole_files(tile: Tile, layout: Layout) -> list[Tile]:
    if tile.band_uris is not None:
        is_usable = len(tile.band_uris) == layout.shape[2]
        return [_file(tile, tile.band_uris[place]) for place in layout.keep] if is_usable else []
    return [tile] if tile.member is None and tile.offset is None else []


def _cached_record(
    tile: Tile, layout: Layout, labels: Mapping[str, int], read: Callable[[Tile], bytes], cache: TileCache | None
) -> Record | Rejected:
    if cache is None:
        return _record(tile, layout, labels, read)
    reader = CachedReader(cache, read)
    result = _record(tile, layout, labels, reader)
    if isinstance(result, Rejected) and reader.hits:  # its owner may have mended it
        result = _record(tile, layout, labels, content)
    if isinstance(result, Record):
        reader.keep()
    return result


def _record(tile: Tile, layout: Layout, labels: Mapping[str, int], read: Callable[[Tile], bytes]) -> Record | Rejected:
    try:
        pictures, is_unverified = fetch(tile, layout.features, layout, read)
        _check_dtypes(pictures, layout.dtype)
        if tile.band_uris is None and not layout.features:
            _check_descriptions(pictures[0].descriptions, layout.order)
            pictures = [_kept(pictures[0], layout.keep)]
        elif not layout.resizes:
            _check_finest(pictures, layout.shape)
        valid = masks(pictures, layout.max_nodata_percent)
    except TileError as error:
        return Rejected(tile, str(error))
    image, mask = assemble(pictures, valid, layout.shape[:2], layout.resampling, layout.nodata or 0)
    pixels = image.reshape(-1).view(np.uint8)
    return Record(
        tile,
        frame_example(pixels, labels[tile.label], tile.tile_id),
        xxhash.xxh3_128_digest(pixels),  # type: ignore[arg-type] # as in shards: arrays are buffers from Python 3.12 on
        is_unverified,
        image,
        mask,
    )


def _read(tile: Tile, read: Callable[[Tile], bytes]) -> bytes:
    try:
        return read(tile)
    except SourceError as error:
        whole_file = tile.member is None and tile.offset is None
        raise TileError("it is missing" if whole_file else f"it cannot be read: {error}") from None


def _file(tile: Tile, uri: str) -> Tile:
    """One of the files of a tile that has one for each band."""
    return Tile(tile.tile_id, uri, tile.label, None, None)


def _band(file: Tile, read: Callable[[Tile], bytes]) -> Picture:
    try:
        return decode(_read(file, read), (None, None, 1))
    except TileError as error:
        raise TileError(f"its file {posixpath.basename(file.uri)}: {error}") from None


def _kept(picture: Picture, keep: tuple[int, ...]) -> Picture:
    if keep == tuple(range(picture.pixels.shape[-1])):
        return picture
    return Picture(picture.pixels.take(keep, axis=-1), picture.descriptions, picture.nodata)


def _check_dtypes(pictures: Sequence[Picture], dtype: str) -> None:
    wanted = np.dtype(dtype)
    for picture in pictures:
        if picture.pixels.dtype != wanted:
            raise TileError(f"its pixels are {picture.pixels.dtype.name}, where the tiles' are {dtype}")


def _check_finest(pictures: Sequence[Picture], shape: tuple[int, int, int]) -> None:
    height, width = finest([picture.pixels.shape[:2] for picture in pictures])
    if (height, width) != shape[:2]:
        raise TileError(f"its finest band is {height}x{width} pixels, where the tiles' are {shape[0]}x{shape[1]}")


def finest(sizes: Sequence[tuple[int, ...]]) -> tuple[int, int]:
    """The size that bands of several resolutions are brought to: the largest height, and the largest width."""
    return max(height for height, _ in sizes), max(width for _, width in sizes)


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
