"""In what order the tiles are packed, and what they are, told from a few of them."""

import contextlib
import functools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tilepipe.components.pack.bands.identity import check_band_identity
from tilepipe.components.pack.bands.order import file_bands, select
from tilepipe.components.pack.cache.cache import CachedReader, TileCache
from tilepipe.components.pack.config import PackConfig, PackOptions
from tilepipe.components.pack.tiles.assemble import masks
from tilepipe.components.pack.tiles.decode import Pixels
from tilepipe.components.pack.tiles.reader import Layout, Rejected, Tile, content, fetch, finest
from tilepipe.components.pack.tiles.resample import Mask
from tilepipe.components.shared.contracts.manifest import SPLITS, Split
from tilepipe.components.shared.contracts.tile_table import RecordFeature, TileTableInfo, damaged, read_tile_table_info
from tilepipe.components.shared.errors import ArtifactError, BandError, ParameterError, TileError
from tilepipe.components.shared.runtime.database import open_database, plainly_named, quoted, reason
from tilepipe.components.shared.runtime.parallel import map_in_order
from tilepipe.components.shared.storage import storage

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SAMPLE_TILES = 64
"""How many tiles are looked at before the first is packed."""

_COLUMNS = ("tile_id", "uri", "label", "bytes", "checksum", "member", "offset", "band_uris")
_SELECTED = ", ".join(map(quoted, _COLUMNS))
_BATCH_TILES = 1024
_SORTING_MEBIBYTES, _READING_MEBIBYTES = 256, 64
"""What the database takes of the memory: it gives back what it sorted in before the pixels need it."""


@dataclass(frozen=True)
class Plan:
    """The tiles in the order of their records, on the disk: the memory holds those that are asked for.

    Args:
        connection: a database with the table `tiles`, split after split.
        info: what the tile table says of all tiles.
        counts: how many tiles each split has.
    """

    connection: "DuckDBPyConnection"
    info: TileTableInfo
    counts: Mapping[Split, int]

    def tiles(self, split: Split, places: range | None = None) -> Iterator[Tile]:
        """The tiles of a split, in the order of their records: all, or those at some consecutive places of it."""
        before = sum(self.counts[other] for other in SPLITS[: SPLITS.index(split)])
        chosen = range(before, before + self.counts[split])
        if places is not None:
            chosen = chosen[places.start : places.stop]
        for start in range(chosen.start, chosen.stop, _BATCH_TILES):
            rows = self.connection.execute(
                f"SELECT {_SELECTED} FROM tiles WHERE rowid >= ? AND rowid < ? ORDER BY rowid",  # noqa: S608
                [start, min(start + _BATCH_TILES, chosen.stop)],
            )
            yield from map(_tile, rows.fetchall())

    def sample(self) -> list[Tile]:
        """A few tiles from all splits; the order is a hash's, so the first ones are as good as any."""
        total = sum(self.counts.values())
        share = {split: -(-SAMPLE_TILES * count // total) for split, count in self.counts.items()}
        chosen = [tile for split in SPLITS for tile in self.tiles(split, range(share[split]))]
        return chosen[: SAMPLE_TILES + len(SPLITS)]


@contextlib.contextmanager
def open_plan(tiles: Path, seed: int) -> Iterator[Plan]:
    """Put the rows of a tile table into the order of the records.

    The order is that of the MD5 of the seed and the tile's id: classes are mixed, and every machine has the same.

    Args:
        tiles: the tile table.
        seed: another seed, another order.

    Yields:
        The plan, which ends with the context.

    Raises:
        ArtifactError: the table is damaged, empty, or has a tile without a label or a split.
    """
    info = read_tile_table_info(tiles)
    with open_database(_SORTING_MEBIBYTES) as connection:
        counts = _arrange(connection, tiles, info, seed)
        connection.execute(f"SET memory_limit = '{_READING_MEBIBYTES}MiB'")
        yield Plan(connection, info, counts)


def _arrange(connection: "DuckDBPyConnection", tiles: Path, info: TileTableInfo, seed: int) -> dict[Split, int]:
    """Make the table `tiles`, and tell how many each split has."""
    import duckdb

    with plainly_named(tiles) as name:
        try:
            counts = _checked_counts(connection, tiles, name, info)
            # The splits of ingest follow the order of an MD5 too: with `pack` in the text this one owes them nothing.
            connection.execute(
                f"CREATE TABLE tiles AS SELECT {_SELECTED} FROM read_parquet($name) "  # noqa: S608
                "ORDER BY list_position($splits, split), md5($seed || ':pack:' || tile_id), tile_id",
                {"name": name, "splits": SPLITS, "seed": str(seed)},
            )
        except duckdb.OperationalError:  # of this machine: a full disk
            raise
        except duckdb.Error as error:
            raise damaged(tiles, reason(error).replace(name, tiles.name)) from error
    return counts


def _checked_counts(connection: "DuckDBPyConnection", tiles: Path, name: str, info: TileTableInfo) -> dict[Split, int]:
    found = connection.execute("SELECT split, label, count(*) FROM read_parquet(?) GROUP BY ALL", [name]).fetchall()
    splits = {split for split, _, _ in found}
    unlabelled = sum(count for _, label, count in found if label is None)
    unknown = sorted({repr(label) for _, label, _ in found if label is not None and label not in info.class_names})
    if not found or unlabelled or unknown or splits - set(SPLITS):
        raise ArtifactError(
            f"A tile table must give each tile a label and one of the splits {', '.join(SPLITS)}. Received: "
            f"{tiles.name} with {sum(count for _, _, count in found):,} tiles, {unlabelled:,} of them without a label, "
            f"splits {sorted(map(str, splits))}, classes that its metadata do not name: {unknown}. "
            "Run ingest again."
        )
    return {split: sum(count for other, _, count in found if other == split) for split in SPLITS}


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


def _tile(row: tuple[Any, ...]) -> Tile:
    """A row of the table, with the columns that a tile has, in its order."""
    made = Tile(*row)
    return made if made.band_uris is None else replace(made, band_uris=tuple(made.band_uris))
