"""The order in which tiles are packed, and their common layout, which is inferred from a sample of them."""

import contextlib
import functools
import logging
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tilepipe.components.pack.bands.identity import check_band_identity
from tilepipe.components.pack.bands.order import file_bands, select
from tilepipe.components.pack.cache.cache import CachedReader, TileCache
from tilepipe.components.pack.config import PackConfig, PackOptions
from tilepipe.components.pack.tiles.assemble import masks
from tilepipe.components.pack.tiles.channels import CHANNEL_COUNTS
from tilepipe.components.pack.tiles.decode import Pixels, Scaling
from tilepipe.components.pack.tiles.reader import Layout, Rejected, Tile, content, fetch, finest
from tilepipe.components.pack.tiles.resample import Mask
from tilepipe.components.pack.tiles.validity import ValidityRules, has_remote_sidecar
from tilepipe.components.shared.contracts.manifest import SPLITS, Split
from tilepipe.components.shared.contracts.tile_table import RecordFeature, TileTableInfo, damaged, read_tile_table_info
from tilepipe.components.shared.errors import ArtifactError, BandError, ParameterError, TileError
from tilepipe.components.shared.runtime.database import open_database, plainly_named, quoted, reason
from tilepipe.components.shared.runtime.parallel import map_in_order
from tilepipe.components.shared.storage import storage

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

logger = logging.getLogger("tilepipe.pack")

SAMPLE_TILES = 64
"""Approximate number of tiles that are inspected before packing starts."""

_SELECTED = ", ".join(quoted(field.name) for field in fields(Tile))
"""The columns of a tile, in the order of the fields of `Tile`: a row holds its positional arguments."""
_BATCH_TILES = 1024
_SORTING_MEBIBYTES, _READING_MEBIBYTES = 256, 64
"""Memory limits of the database. The sorting memory is released before tiles are decoded."""


@dataclass(frozen=True)
class Plan:
    """The tiles in the order of their records, stored on disk and loaded in batches.

    Args:
        connection: a database with the table `tiles`, sorted by split and then by record order.
        info: metadata of the tile table.
        counts: number of tiles per split.
    """

    connection: "DuckDBPyConnection"
    info: TileTableInfo
    counts: Mapping[Split, int]

    def tiles(self, split: Split, places: range | None = None) -> Iterator[Tile]:
        """Iterate over the tiles of a split in the order of their records.

        Args:
            split: the split.
            places: consecutive positions within the split. Defaults to all.

        Yields:
            The tiles.
        """
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
        """Return the first tiles of each split; these are a random sample, since the order is that of a hash."""
        total = sum(self.counts.values())
        share = {split: -(-SAMPLE_TILES * count // total) for split, count in self.counts.items()}
        chosen = [tile for split in SPLITS for tile in self.tiles(split, range(share[split]))]
        return chosen[: SAMPLE_TILES + len(SPLITS)]


@contextlib.contextmanager
def open_plan(tiles: Path, seed: int) -> Iterator[Plan]:
    """Sort the rows of a tile table into the order of the records.

    The sort key is the MD5 of the seed and the tile id: classes are mixed, and the order is the same on every machine.

    Args:
        tiles: path of the tile table.
        seed: seed of the order.

    Yields:
        The plan, valid within the context.

    Raises:
        ArtifactError: if the table is damaged or empty, or has a tile without a label or a split.
    """
    info = read_tile_table_info(tiles)
    with open_database(_SORTING_MEBIBYTES) as connection:
        counts = _arrange(connection, tiles, info, seed)
        connection.execute(f"SET memory_limit = '{_READING_MEBIBYTES}MiB'")
        yield Plan(connection, info, counts)


def _arrange(connection: "DuckDBPyConnection", tiles: Path, info: TileTableInfo, seed: int) -> dict[Split, int]:
    """Create the table `tiles`, and return the number of tiles per split."""
    import duckdb

    with plainly_named(tiles) as name:
        try:
            counts = _checked_counts(connection, tiles, name, info)
            # The splits of ingest are ordered by an MD5 too: `pack` in the text makes this order independent of it.
            connection.execute(
                f"CREATE TABLE tiles AS SELECT {_SELECTED} FROM read_parquet($name) "  # noqa: S608
                "ORDER BY list_position($splits, split), md5($seed || ':pack:' || tile_id), tile_id",
                {"name": name, "splits": SPLITS, "seed": str(seed)},
            )
        except duckdb.OperationalError:  # a local problem such as a full disk
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
            f"splits {sorted(map(str, splits))}, classes missing from its metadata: {unknown}. "
            "Run ingest again."
        )
    return {split: sum(count for other, _, count in found if other == split) for split in SPLITS}


def find_layout(plan: Plan, config: PackConfig, cache: TileCache | None = None) -> Layout:
    """Infer the layout of all tiles from a sample: the most common shape and dtype, and the band names.

    Args:
        plan: the tiles.
        config: parameters of the step.
        cache: cache of fetched tiles. Defaults to None, no cache.

    Returns:
        The layout that every tile must have.

    Raises:
        TileError: if none of the sampled tiles can be used.
        BandError: if the bands have no names, if an unknown band is requested, if the selected bands differ in dtype,
            or if the pixels contradict the names.
        ParameterError: if `nodata_fill` cannot be represented in the dtype of the tiles.
    """
    options = config.options
    info, rules = _rules(plan.info, config)
    bands = CHANNEL_COUNTS[options.channels] or len(info.bands)
    probe = functools.partial(probe_tile, features=info.record_features, cache=cache, rules=rules, bands=bands)
    results = list(map_in_order(probe, plan.sample(), threads=options.readers))
    probes = [one for one in results if isinstance(one, TileProbe)]
    if not probes:
        rejected = [tile for tile in results if isinstance(tile, Rejected)]
        reasons = "".join(
            f"\n  {each.tile.tile_id} ({storage.shown(each.tile.uri)}): {each.reason}" for each in rejected[:3]
        )
        raise TileError(f"Tiles must be readable. Received: {len(results)} tiles, none of which can be used:{reasons}")
    kind = Counter(one.kind(any_size=bool(options.tile_size)) for one in probes).most_common(1)[0][0]
    alike = [one for one in probes if one.kind(any_size=bool(options.tile_size)) == kind]
    descriptions = Counter(one.descriptions for one in alike).most_common(1)[0][0]
    convention = "uint8" if options.channels else alike[0].dtypes[0]
    order = file_bands(info, len(alike[0].dtypes), convention, descriptions)
    keep = select(order, config.bands)
    # Bands of 8 bits have been stretched independently, so the ratios between them carry no information.
    if options.check_band_identity and alike[0].dtypes[0] != "uint8":
        whole = [one.means for one in alike if np.isfinite(one.means).all()]
        if whole:
            check_band_identity(order, np.array(whole))
    dtypes = [alike[0].dtypes[place] for place in keep]
    if len(set(dtypes)) > 1:
        each = ", ".join(f"{order.names[place]} {dtype}" for place, dtype in zip(keep, dtypes, strict=True))
        raise BandError(
            f"The selected bands must have the same dtype. Received: {each}. "
            "Select bands of one dtype with bands=[...]."
        )
    has_masks = options.fit == "pad" or any(one.has_mask for one in alike)
    height, width = options.tile_size or finest([alike[0].sizes[place] for place in keep])
    return Layout(
        (height, width, len(order.names)),
        dtypes[0],
        order,
        keep,
        info.record_features,
        bool(options.tile_size),
        options.resampling,
        _packed_nodata(options, dtypes[0], [one.nodata[place] for one in alike for place in keep], has_masks=has_masks),
        options.max_nodata_percent,
        replace(rules, has_sidecars=any(one.has_remote_sidecar for one in alike)),
        options.fit,
        _common_scaling(alike, keep, allow_mixed=options.allow_mixed_scaling),
    )


def _common_scaling(
    probes: Sequence["TileProbe"], keep: Sequence[int], *, allow_mixed: bool
) -> tuple[Scaling, ...] | None:
    """Return what most tiles state as scale and offset; None if any is accepted."""
    counts = Counter(one.scaling for one in probes)
    scaling = counts.most_common(1)[0][0]
    if allow_mixed:
        if len(counts) > 1:
            logger.warning(
                "of %d inspected tiles, only %d state the same scale and offset", len(probes), counts[scaling]
            )
        return None
    return scaling if len(scaling) == 1 else tuple(scaling[place] for place in keep)


def _rules(info: TileTableInfo, config: PackConfig) -> tuple[TileTableInfo, ValidityRules]:
    """Combine the statements on validity of the tile table and of the user; a band named alpha is no band."""
    options = config.options
    alpha = options.alpha
    if info.bands and info.bands[-1].lower() == "alpha" and alpha != "band":
        if alpha == "auto" and info.bands[-1] in config.bands:
            alpha = "band"
        else:
            info, alpha = info.model_copy(update={"bands": info.bands[:-1]}), "mask"
    stated = tuple(None if number is None else float(number) for number in info.nodata)
    nodata = stated if options.nodata is None else (float(options.nodata),)
    return info, ValidityRules(alpha, nodata, channels=options.channels)


def _packed_nodata(
    options: PackOptions, dtype: str, stated: Sequence[float | None], *, has_masks: bool
) -> float | None:
    """Choose one nodata value for all tiles: the user's, else the most common one of the files, with 0 for NaN.

    Masks and alpha channels state no number, so that 0 is used for them too.
    """
    if options.nodata_fill is not None:
        fill = options.nodata_fill
        limits = np.iinfo(dtype) if np.dtype(dtype).kind != "f" else np.finfo(dtype)
        if not limits.min <= fill <= limits.max or (np.dtype(dtype).kind != "f" and not fill.is_integer()):
            raise ParameterError(
                f"`nodata_fill` must be a number that {dtype}, the dtype of the tiles, can represent. "
                f"Received: nodata_fill={fill:g}."
            )
        return fill
    counts = Counter("nan" if math.isnan(number) else number for number in stated if number is not None)
    if not counts:
        return 0.0 if has_masks else None
    number = float(counts.most_common(1)[0][0])
    return number if math.isfinite(number) else 0.0


@dataclass(frozen=True)
class TileProbe:
    """Properties of one sampled tile; all fields but `descriptions` have one entry per band."""

    sizes: tuple[tuple[int, int], ...]
    dtypes: tuple[str, ...]
    nodata: tuple[float | None, ...]
    means: tuple[float, ...]
    """Mean of the valid pixels; NaN if the whole band is nodata."""
    descriptions: tuple[str, ...]
    has_mask: bool = False
    """True if a mask or an alpha channel leaves out pixels."""
    has_remote_sidecar: bool = False
    scaling: tuple[Scaling, ...] = ()
    """Scale and offset that each file states."""

    def kind(self, *, any_size: bool) -> tuple[object, ...]:
        """Return the properties that must be equal in all tiles: the dtypes and, unless `any_size`, the sizes."""
        return (self.dtypes,) if any_size else (self.sizes, self.dtypes)


def probe_tile(
    tile: Tile, features: Sequence[RecordFeature], cache: TileCache | None, rules: ValidityRules, bands: int
) -> TileProbe | Rejected:
    """Read one tile and return its properties, or the reason why it cannot be used."""
    has_sidecar = tile.member is None and tile.offset is None and has_remote_sidecar(tile.uri)
    rules = replace(rules, has_sidecars=has_sidecar)
    reader = None if cache is None else CachedReader(cache, content)
    try:
        pictures, _ = fetch(tile, features, read=reader or content, rules=rules, bands=bands or None)
        valid = masks(pictures)
    except TileError as error:
        return Rejected(tile, str(error))
    if reader:
        reader.keep()
    per_band = [(one, band) for one in pictures for band in range(one.pixels.shape[-1])]
    means = [mean for one, mask in zip(pictures, valid, strict=True) for mean in _means(one.pixels, mask)]
    return TileProbe(
        tuple((one.pixels.shape[0], one.pixels.shape[1]) for one, _ in per_band),
        tuple(one.pixels.dtype.name for one, _ in per_band),
        tuple(one.nodata for one, _ in per_band),
        tuple(means),
        pictures[0].descriptions if len(pictures) == 1 else (),
        any(one.valid is not None for one in pictures),
        has_sidecar,
        tuple(one.scaling for one in pictures),
    )


def _means(pixels: Pixels, valid: Mask | None) -> list[float]:
    if valid is None:
        means: list[float] = pixels.mean(axis=(0, 1), dtype=np.float64).tolist()
        return means
    counts = valid.sum(axis=(0, 1))
    sums = np.where(valid, pixels, 0).sum(axis=(0, 1), dtype=np.float64)
    return [float(total / count) if count else math.nan for total, count in zip(sums, counts, strict=True)]


def _tile(row: tuple[Any, ...]) -> Tile:
    """Make a tile from the columns `_SELECTED` of a row."""
    tile = Tile(*row)
    return tile if tile.band_uris is None else replace(tile, band_uris=tuple(tile.band_uris))
