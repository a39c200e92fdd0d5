"""In what order the tiles are packed, and what they are, told from a few of them."""

import functools
import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tilepipe.components.pack.assemble import masks
from tilepipe.components.pack.band_identity import check_band_identity
from tilepipe.components.pack.band_order import file_bands, select
from tilepipe.components.pack.cache import CachedReader, TileCache
from tilepipe.components.pack.config import PackConfig, PackOptions
from tilepipe.components.pack.decode import Pixels
from tilepipe.components.pack.resample import Mask
from tilepipe.components.pack.tile_reader import Layout, Rejected, Tile, content, fetch, finest, tile_of
from tilepipe.components.shared import storage
from tilepipe.components.shared.bounded import map_in_order
from tilepipe.components.shared.errors import ArtifactError, BandError, ParameterError, TileError
from tilepipe.components.shared.manifest import SPLITS, Split
from tilepipe.components.shared.tile_table import RecordFeature, TileTableInfo, read_tile_table

Places = npt.NDArray[np.intp]
"""Numbers of rows of the table."""

SAMPLE_TILES = 64
"""How many tiles are looked at before the first is packed."""

_COLUMNS = ["tile_id", "uri", "label", "split", "bytes", "checksum", "member", "offset", "band_uris"]
_BATCH_TILES = 1024
_BATCH_HASHES = 4096


@dataclass(frozen=True)
class Plan:
    """The tiles in the order of their records, kept as columns: millions of them fit."""

    table: pa.Table
    info: TileTableInfo
    places: Mapping[Split, Places]
    """Rows of each split, in the order of the records."""
    class_names: tuple[str, ...]

    def tiles(self, split: Split, chosen: range | None = None) -> Iterator[Tile]:
        """The tiles of a split, in the order of their records: all, or those from one place of it to another."""
        places = self.places[split]
        yield from self._rows(places if chosen is None else places[chosen.start : chosen.stop])

    def sample(self) -> list[Tile]:
        """A few tiles from all splits; the order is a hash's, so the first ones are as good as any."""
        share = {split: -(-SAMPLE_TILES * len(places) // self.table.num_rows) for split, places in self.places.items()}
        chosen = [tile for split in SPLITS for tile in self._rows(self.places[split][: share[split]])]
        return chosen[: SAMPLE_TILES + len(SPLITS)]

    def _rows(self, places: Places) -> Iterator[Tile]:
        for start in range(0, len(places), _BATCH_TILES):
            yield from map(tile_of, self.table.take(places[start : start + _BATCH_TILES]).to_pylist())


def make_plan(tiles: Path, seed: int) -> Plan:
    """Read the tile table and put its rows into the order of the records.

    The order is that of BLAKE2b of the seed and the tile's id: classes are mixed, and every machine has the same.

    Args:
        tiles: the tile table.
        seed: another seed, another order.

    Returns:
        The plan.

    Raises:
        ArtifactError: the table is damaged, empty, or has a tile without a label or a split.
    """
    table, info = read_tile_table(tiles, _COLUMNS)
    labels, splits = (set(pc.unique(table[name]).to_pylist()) for name in ("label", "split"))
    unknown = sorted(repr(name) for name in {*labels, None} - {*info.class_names, None})
    if not table.num_rows or None in labels or unknown or splits - set(SPLITS):
        raise ArtifactError(
            f"A tile table must give each tile a label and one of the splits {', '.join(SPLITS)}. Received: "
            f"{tiles.name} with {table.num_rows:,} tiles, {table['label'].null_count:,} of them without a label, "
            f"splits {sorted(map(str, splits))}, classes that its metadata do not name: {unknown}. "
            "Run ingest again."
        )
    order = np.argsort(_hashes(table["tile_id"], seed), kind="stable")
    ordered = pc.index_in(table["split"], pa.array(SPLITS)).to_numpy()[order]
    places = {split: order[ordered == number] for number, split in enumerate(SPLITS)}
    return Plan(table, info, places, info.class_names)


def _hashes(names: "pa.ChunkedArray[Any]", seed: int) -> npt.NDArray[np.uint64]:
    """A number for each name, a batch at a time: millions of names as Python's strings would fill the memory."""
    hashes = np.empty(len(names), dtype=">u8")
    for start in range(0, len(names), _BATCH_HASHES):
        batch = names.slice(start, _BATCH_HASHES).to_pylist()
        made = (hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest() for name in batch)
        hashes[start : start + len(batch)] = np.frombuffer(b"".join(made), dtype=">u8")
    return hashes.astype(np.uint64)


def find_layout(plan: Plan, config: PackConfig, cache: TileCache | None = None) -> Layout:
    """Look at a few tiles and tell what all must be: the shape and dtype of most, and the bands' names.

    Args:
        plan: the tiles.
        config: the step's parameters.
        cache: what was fetched before, and where to keep what is fetched now; None keeps nothing.

    Returns:
        What every tile must be.

    Raises:
        TileError: none of the tiles looked at can be used.
        BandError: the bands have no names, unknown ones are wanted, their dtypes differ, or the pixels contradict the
            names.
        ParameterError: `nodata_fill` is no number that the tiles can hold.
    """
    options = config.options
    look = functools.partial(_look, features=plan.info.record_features, cache=cache)
    looked = list(map_in_order(look, plan.sample(), threads=options.readers))
    looks = [one for one in looked if isinstance(one, _Look)]
    if not looks:
        rejected = [tile for tile in looked if isinstance(tile, Rejected)]
        reasons = "".join(
            f"\n  {each.tile.tile_id} ({storage.shown(each.tile.uri)}): {each.reason}" for each in rejected[:3]
        )
        raise TileError(f"Tiles must be readable. Received: {len(looked)} tiles, none of which can be used:{reasons}")
    kind = Counter(one.kind(any_size=bool(options.tile_size)) for one in looks).most_common(1)[0][0]
    alike = [one for one in looks if one.kind(any_size=bool(options.tile_size)) == kind]
    descriptions = Counter(one.descriptions for one in alike).most_common(1)[0][0]
    order = file_bands(plan.info, len(alike[0].dtypes), alike[0].dtypes[0], descriptions)
    keep = select(order, config.bands)
    # Eight bits a band are no digital numbers: each band has been stretched by itself, so ratios tell nothing.
    if options.check_band_identity and alike[0].dtypes[0] != "uint8":
        whole = [one.means for one in alike if np.isfinite(one.means).all()]
        if whole:
            check_band_identity(order.names, np.array(whole), order.stated_by)
    dtypes = [alike[0].dtypes[place] for place in keep]
    if len(set(dtypes)) > 1:
        each = ", ".join(f"{order.names[place]} {dtype}" for place, dtype in zip(keep, dtypes, strict=True))
        raise BandError(
            f"Bands that are packed together must be of one dtype. Received: {each}. "
            "Name those to keep with bands=[...]."
        )
    height, width = options.tile_size or finest([alike[0].sizes[place] for place in keep])
    return Layout(
        (height, width, len(order.names)),
        dtypes[0],
        order,
        keep,
        plan.info.record_features,
        bool(options.tile_size),
        options.resampling,
        _packed_nodata(options, dtypes[0], [one.nodata[place] for one in alike for place in keep]),
        options.max_nodata_percent,
    )


def _packed_nodata(options: PackOptions, dtype: str, stated: Sequence[float | None]) -> float | None:
    """One number for all tiles: what the user says, else what most files say; NaN is no number to train on."""
    if options.nodata_fill is not None:
        fill = options.nodata_fill
        limits = np.iinfo(dtype) if np.dtype(dtype).kind != "f" else np.finfo(dtype)
        if not limits.min <= fill <= limits.max or (np.dtype(dtype).kind != "f" and not fill.is_integer()):
            raise ParameterError(
                f"`nodata_fill` must be a number that {dtype} holds, as the tiles do. Received: nodata_fill={fill:g}."
            )
        return fill
    counts = Counter("nan" if math.isnan(number) else number for number in stated if number is not None)
    if not counts:
        return None
    number = float(counts.most_common(1)[0][0])
    return number if math.isfinite(number) else 0.0


@dataclass(frozen=True)
class _Look:
    """What one tile is; all but the descriptions are tuples with an entry for each band."""

    sizes: tuple[tuple[int, int], ...]
    dtypes: tuple[str, ...]
    nodata: tuple[float | None, ...]
    means: tuple[float, ...]
    """NaN where the band has nothing but nodata."""
    descriptions: tuple[str, ...]

    def kind(self, *, any_size: bool) -> tuple[object, ...]:
        """What tiles that are packed together have in common."""
        return (self.dtypes,) if any_size else (self.sizes, self.dtypes)


def _look(tile: Tile, features: Sequence[RecordFeature], cache: TileCache | None) -> _Look | Rejected:
    reader = None if cache is None else CachedReader(cache, content)
    try:
        pictures, _ = fetch(tile, features, read=reader or content)
        valid = masks(pictures)
    except TileError as error:
        return Rejected(tile, str(error))
    if reader:
        reader.keep()
    per_band = [(one, band) for one in pictures for band in range(one.pixels.shape[-1])]
    means = [mean for one, mask in zip(pictures, valid, strict=True) for mean in _means(one.pixels, mask)]
    return _Look(
        tuple((one.pixels.shape[0], one.pixels.shape[1]) for one, _ in per_band),
        tuple(one.pixels.dtype.name for one, _ in per_band),
        tuple(one.nodata for one, _ in per_band),
        tuple(means),
        pictures[0].descriptions if len(pictures) == 1 else (),
    )


def _means(pixels: Pixels, valid: Mask | None) -> list[float]:
    if valid is None:
        means: list[float] = pixels.mean(axis=(0, 1), dtype=np.float64).tolist()
        return means
    counts = valid.sum(axis=(0, 1))
    sums = np.where(valid, pixels, 0).sum(axis=(0, 1), dtype=np.float64)
    return [float(total / count) if count else math.nan for total, count in zip(sums, counts, strict=True)]
