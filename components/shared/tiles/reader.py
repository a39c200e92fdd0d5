"""Read tiles and encode them as records of a shard, or return the reason why a tile cannot be used."""

import functools
import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xxhash

from tilepipe.components.shared.contracts.bands import canonical_bands, informative_common_names
from tilepipe.components.shared.contracts.tile_table import RecordFeature
from tilepipe.components.shared.errors import SourceError, TileError
from tilepipe.components.shared.records.example import frame_example
from tilepipe.components.shared.records.frames import Buffer
from tilepipe.components.shared.storage import storage
from tilepipe.components.shared.storage.sizes import MAX_BYTES, check_size
from tilepipe.components.shared.tiles.assemble import assemble, masks
from tilepipe.components.shared.tiles.bands.order import BandOrder
from tilepipe.components.shared.tiles.cache.cache import CachedReader, TileCache
from tilepipe.components.shared.tiles.channels import converted
from tilepipe.components.shared.tiles.checksum import verify
from tilepipe.components.shared.tiles.decode import Shape, decode, fits, size_text
from tilepipe.components.shared.tiles.example_decoder import decode_image, decode_record
from tilepipe.components.shared.tiles.fit import Fit
from tilepipe.components.shared.tiles.packed_records import is_packed, read_packed_record
from tilepipe.components.shared.tiles.picture import Mask, Picture, Pixels, Scaling
from tilepipe.components.shared.tiles.resample import Resampling
from tilepipe.components.shared.tiles.validity import (
    NO_RULES,
    ValidityRules,
    apply_rules,
    check_scaling,
    scaled,
    with_sidecar,
)


@dataclass(frozen=True, slots=True)
class Tile:
    """One row of the tile table."""

    tile_id: str
    uri: str
    label: str
    bytes: int | None
    checksum: str | None
    member: str | None = None
    """Path of the tile within the zip file at `uri`, or column with the images of the Parquet file."""
    offset: int | None = None
    """Offset of the record or file in the TFRecord file or tar at `uri`, of `bytes` bytes; with `member`, the number of
    the row in the Parquet file."""
    band_uris: tuple[str, ...] | None = None
    """URI of one file per band, in the order of the table's bands; the first is `uri`."""
    scaling: tuple[float, ...] | None = None
    """Scale and offset of each band in turn, or of all bands, that replace those of the files; None for these."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A tile that cannot be used, and the reason."""

    tile: Tile
    reason: str


@dataclass(frozen=True, slots=True)
class Record:
    """An encoded tile, ready to be written."""

    tile: Tile
    framed: tuple[Buffer, ...]
    """The framed record in consecutive parts, so that the pixels are copied only once, when they are written."""
    digest: bytes
    """Digest of the pixels, 16 bytes."""
    is_unverified: bool
    """True if the source states a checksum of an unsupported kind."""
    image: Pixels
    """The selected bands, `(height, width, bands)`; shares memory with `framed`."""
    mask: Mask | None
    """Mask of the valid pixels, in the shape of `image`; None if all are valid."""


@dataclass(frozen=True)
class Layout:
    """The layout that every tile must have, and the bands to keep."""

    shape: tuple[int, int, int]
    """Height and width of the packed tiles, and the number of bands in the files."""
    dtype: str
    order: BandOrder
    """The bands of the files, in the order of the files."""
    keep: tuple[int, ...]
    """Indices of the selected bands in the files, in output order."""
    features: tuple[RecordFeature, ...] = ()
    """The features of a TFRecord that hold the bands; empty if tiles are files."""
    resizes: bool = False
    """True if tiles of another height or width are resized, False if they are left out."""
    resampling: Resampling = "bilinear"
    nodata: float | None = None
    """Nodata value of the packed tiles; None if no sampled tile declares one."""
    max_nodata_percent: float = 100.0
    """Tiles with a larger percentage of nodata are left out."""
    rules: ValidityRules = NO_RULES
    """Statements on validity from outside the files."""
    fit: Fit = "stretch"
    """Way in which tiles of another shape are resized."""
    scaling: tuple[Scaling, ...] | None = None
    """Scale and offset that each file of a tile must state; None accepts any."""

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the selected bands."""
        return tuple(self.order.names[place] for place in self.keep)

    @property
    def common_names(self) -> tuple[str, ...]:
        """Common names of the selected bands; empty if they say no more than the names."""
        common = self.order.common_names
        return informative_common_names(self.bands, tuple(common[place] for place in self.keep) if common else ())

    @property
    def has_band_features(self) -> bool:
        """True if tiles are records with one feature per band."""
        return bool(self.features) and not self.features[0].holds_all_bands

    @property
    def tile_bytes(self) -> int:
        """Size of the packed pixels of one tile, in bytes."""
        return self.shape[0] * self.shape[1] * len(self.keep) * np.dtype(self.dtype).itemsize

    @property
    def file_shape(self) -> Shape:
        """Shape that the header of a file with all bands must state; None where any size is accepted."""
        height, width, bands = self.shape
        return (None, None, bands) if self.resizes else (height, width, bands)


def content(tile: Tile, read_file: Callable[[str], bytes] = storage.read_bytes, *, max_bytes: int = MAX_BYTES) -> bytes:
    """Read the bytes of one tile: a file, a member of a zip or tar, a record of TFRecords, or an image in Parquet.

    Args:
        tile: the tile; for a tile with one file per band, only the file at `uri` is read.
        read_file: function that reads a whole file. Defaults to `storage.read_bytes`.
        max_bytes: largest size that the source may state. Defaults to `MAX_BYTES`.

    Raises:
        SourceError: if the file or member does not exist.
        StorageError: if the disk or the bucket cannot be read.
        TileError: if it is too large.
    """
    if tile.member is not None:
        if tile.offset is not None:
            from tilepipe.components.shared.tiles import parquet_images

            return parquet_images.read_image(tile.uri, tile.member, tile.offset, max_bytes)
        from tilepipe.components.shared.storage import zip_members

        return zip_members.read_member(tile.uri, tile.member, max_bytes)
    if tile.bytes is not None:
        check_size(tile.bytes, max_bytes)
    if tile.offset is not None and tile.bytes is not None:
        if is_packed(tile.uri):
            return read_packed_record(tile.uri, tile.offset, tile.bytes)
        return storage.read_range(tile.uri, tile.offset, tile.bytes)
    return read_file(tile.uri)


def bounded_content(max_bytes: int) -> Callable[[Tile], bytes]:
    """Return `content` with a limit on the size of what it reads."""
    read_file = functools.partial(storage.read_bytes, max_bytes=max_bytes)
    return functools.partial(content, read_file=read_file, max_bytes=max_bytes)


def fetch(
    tile: Tile,
    features: Sequence[RecordFeature] = (),
    layout: Layout | None = None,
    read: Callable[[Tile], bytes] = content,
    rules: ValidityRules = NO_RULES,
    bands: int | None = None,
) -> tuple[list[Picture], bool]:
    """Read and decode one tile.

    Args:
        tile: the tile.
        features: the features that hold the bands, for a TFRecord. Defaults to none.
        layout: the required layout. Defaults to None: any layout is accepted, and all bands are read.
        read: function that reads the bytes of the tile, or of one of its files. Defaults to `content`.
        rules: statements on validity from outside the files, if `layout` is None. Defaults to none.
        bands: number of named bands, if `layout` is None. Defaults to None, unknown.

    Returns:
        One picture with all bands, or one picture per selected band if the bands are stored separately; and True if
        the source states a checksum of an unsupported kind.

    Raises:
        TileError: if the tile is missing or damaged, has another shape, or differs from what its source states.
        StorageError: if the disk or the bucket cannot be read.
    """
    if layout is not None:
        rules, bands = layout.rules, layout.shape[2]
    if tile.band_uris is not None:
        places = range(len(tile.band_uris)) if layout is None else layout.keep
        if layout is not None and len(tile.band_uris) != layout.shape[2]:
            raise TileError(f"it has files of {len(tile.band_uris)} bands, where the tiles have {layout.shape[2]}")
        files = [(_file(tile, tile.band_uris[place]), place) for place in places]
        pictures = [_band(file, read, rules, place) for file, place in files]
        if rules.scaling is not None:
            pictures = [
                scaled(one, tile.scaling, rules, place) for one, (_, place) in zip(pictures, files, strict=True)
            ]
        return pictures, bool(tile.checksum)
    data = _read(tile, read)
    is_unverified = verify(data, tile.bytes, tile.checksum)
    shape = None if layout is None else layout.file_shape
    if shape is not None and rules.channels:  # any number of channels, until they are converted
        shape = (*shape[:2], None)
    if features and not features[0].holds_all_bands:
        chosen = features if layout is None else [features[place] for place in layout.keep]
        return decode_record(data, chosen), is_unverified
    picture = (
        decode_image(data, features[0], shape, rules.max_bytes) if features else decode(data, shape, rules.max_bytes)
    )
    if tile.member is None and not features:
        picture = with_sidecar(picture, tile.uri, rules, lambda uri: read(_file(tile, uri)))
    if bands is None and picture.descriptions:
        bands = len(picture.descriptions)
    picture = apply_rules(picture, rules, bands)
    if rules.scaling is not None:
        picture = scaled(picture, tile.scaling, rules)
    if rules.channels:
        picture = converted(picture, rules.channels)
    if layout is not None and not fits(picture.pixels.shape, layout.file_shape):
        note = f", also after conversion to {rules.channels}" if rules.channels else ""
        raise TileError(
            f"it is {size_text(picture.pixels.shape)}, where the tiles are {size_text(layout.file_shape)}{note}"
        )
    return [picture], is_unverified


def read_records(
    tiles: Sequence[Tile], *, layout: Layout, labels: Mapping[str, int] | None, cache: TileCache | None = None
) -> list[Record | Rejected]:
    """Encode tiles as records, one after the other; all of their files are requested up front.

    Args:
        tiles: a few tiles, whose records fit into memory together.
        layout: the required layout.
        labels: index of each class by name; None to read the pixels only, with an empty `framed`.
        cache: cache of fetched tiles. Defaults to None, no cache.

    Returns:
        The record of each tile, or the reason why it cannot be used.

    Raises:
        StorageError: if the disk or the bucket cannot be read.
    """
    files = (file for tile in tiles for file in _whole_files(tile, layout))
    needed = (file.uri for file in files if cache is None or not cache.holds(cache.key_of(file)))
    max_bytes = layout.rules.max_bytes
    read_file = storage.prefetch_reader(needed, max_bytes, ahead=len(tiles))
    read = functools.partial(content, read_file=read_file, max_bytes=max_bytes)
    return [_cached_record(tile, layout, labels, read, cache) for tile in tiles]


def _whole_files(tile: Tile, layout: Layout) -> list[Tile]:
    if tile.band_uris is not None:
        is_usable = len(tile.band_uris) == layout.shape[2]
        return [_file(tile, tile.band_uris[place]) for place in layout.keep] if is_usable else []
    return [tile] if tile.member is None and tile.offset is None else []


def _cached_record(
    tile: Tile,
    layout: Layout,
    labels: Mapping[str, int] | None,
    read: Callable[[Tile], bytes],
    cache: TileCache | None,
) -> Record | Rejected:
    if cache is None:
        return _record(tile, layout, labels, read)
    reader = CachedReader(cache, read)
    result = _record(tile, layout, labels, reader)
    if isinstance(result, Rejected) and reader.hits:  # the source may have been repaired since it was cached
        result = _record(tile, layout, labels, bounded_content(layout.rules.max_bytes))
    if isinstance(result, Record):
        reader.keep()
    return result


def _record(
    tile: Tile, layout: Layout, labels: Mapping[str, int] | None, read: Callable[[Tile], bytes]
) -> Record | Rejected:
    try:
        pictures, is_unverified = fetch(tile, layout.features, layout, read)
        _check_dtypes(pictures, layout.dtype)
        check_scaling(pictures, layout.scaling)
        if tile.band_uris is None and not layout.has_band_features:
            _check_descriptions(pictures[0].descriptions, layout.order)
            pictures = [_kept(pictures[0], layout.keep)]
        elif not layout.resizes:
            _check_finest(pictures, layout.shape)
        valid = masks(pictures, layout.max_nodata_percent)
    except TileError as error:
        return Rejected(tile, str(error))
    image, mask = assemble(pictures, valid, layout.shape[:2], layout.resampling, layout.nodata or 0, layout.fit)
    pixels = image.reshape(-1).view(np.uint8)
    return Record(
        tile,
        () if labels is None else frame_example(pixels, labels[tile.label], tile.tile_id),
        xxhash.xxh3_128_digest(pixels),  # type: ignore[arg-type] # typeshed: arrays are buffers from Python 3.12 on
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
    """Return one file of a tile with one file per band, as a tile of its own."""
    return Tile(tile.tile_id, uri, tile.label, None, None)


def _band(file: Tile, read: Callable[[Tile], bytes], rules: ValidityRules, place: int) -> Picture:
    try:
        picture = decode(_read(file, read), (None, None, 1), rules.max_bytes)
        picture = with_sidecar(picture, file.uri, rules, lambda uri: read(_file(file, uri)))
        return apply_rules(picture, rules, 1, place)
    except TileError as error:
        raise TileError(f"its file {posixpath.basename(file.uri)}: {error}") from None


def _kept(picture: Picture, keep: tuple[int, ...]) -> Picture:
    if keep == tuple(range(picture.pixels.shape[-1])):
        return picture
    valid = picture.valid
    if valid is not None and valid.shape[-1] > 1:
        valid = valid.take(keep, axis=-1)
    return Picture(picture.pixels.take(keep, axis=-1), picture.descriptions, picture.nodata, valid)


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
    """Return the size that bands of several resolutions are resampled to: the largest height and the largest width."""
    return max(height for height, _ in sizes), max(width for _, width in sizes)


def _check_descriptions(descriptions: tuple[str, ...], order: BandOrder) -> None:
    """Reject a file whose band descriptions differ from those of most files, unless the user stated the order."""
    if not descriptions or order.stated_by == "user":
        return
    names = canonical_bands(descriptions)
    if names != order.names and (order.stated_by == "files" or set(names) == set(order.names)):
        raise TileError(f"its bands are {', '.join(names)}, where the tiles' are {', '.join(order.names)}")
