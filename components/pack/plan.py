"""In what order the tiles are packed, and what they are, told from a few of them."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tilepipe.components.pack.band_identity import check_band_identity
from tilepipe.components.pack.band_order import file_bands, select
from tilepipe.components.pack.config import PackConfig
from tilepipe.components.pack.tile_reader import Layout, Rejected, Tile, fetch, tile_of
from tilepipe.components.shared.bounded import map_in_order
from tilepipe.components.shared.errors import ArtifactError, TileError
from tilepipe.components.shared.manifest import SPLITS, Split
from tilepipe.components.shared.tile_table import TileTableInfo, read_tile_table

Places = npt.NDArray[np.intp]
"""Numbers of rows of the table."""

SAMPLE_TILES = 64
"""How many tiles are looked at before the first is packed."""

_COLUMNS = ["tile_id", "uri", "label", "split", "bytes", "checksum"]
_BATCH_TILES = 1024


@dataclass(frozen=True)
class Plan:
    """The tiles in the order of their records, kept as columns: millions of them fit."""

    table: pa.Table
    info: TileTableInfo
    places: Mapping[Split, Places]
    """Rows of each split, in the order of the records."""
    class_names: tuple[str, ...]

    def tiles(self, split: Split) -> Iterator[Tile]:
        """The tiles of a split, in the order of their records."""
        yield from self._rows(self.places[split])

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
    labels, splits = set(table["label"].to_pylist()), np.array(table["split"].to_pylist(), dtype=object)
    unknown = sorted(repr(name) for name in {*labels, None} - {*info.class_names, None})
    if not table.num_rows or None in labels or unknown or not np.isin(splits, SPLITS).all():
        raise ArtifactError(
            f"A tile table must give each tile a label and one of the splits {', '.join(SPLITS)}. Received: "
            f"{tiles.name} with {table.num_rows:,} tiles, {table['label'].null_count:,} of them without a label, "
            f"splits {sorted(map(str, set(splits)))}, classes that its metadata do not name: {unknown}. "
            "Run ingest again."
        )
    names = table["tile_id"].to_pylist()
    hashes = [hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest() for name in names]
    order = np.argsort(np.array(hashes, dtype="S8"), kind="stable")
    places = {split: order[splits[order] == split] for split in SPLITS}
    return Plan(table, info, places, info.class_names)


def find_layout(plan: Plan, config: PackConfig) -> Layout:
    """Look at a few tiles and tell what all must be: the shape and dtype of most, and the bands' names.

    Args:
        plan: the tiles.
        config: the step's parameters.

    Returns:
        What every tile must be.

    Raises:
        TileError: none of the tiles looked at can be used.
        BandError: the bands have no names, unknown ones are wanted, or the pixels contradict the names.
    """
    looked = list(map_in_order(_look, plan.sample(), threads=config.options.readers))
    pictures = [picture for picture in looked if isinstance(picture, _Look)]
    if not pictures:
        rejected = [tile for tile in looked if isinstance(tile, Rejected)]
        reasons = "".join(f"\n  {each.tile.tile_id} ({each.tile.uri}): {each.reason}" for each in rejected[:3])
        raise TileError(f"Tiles must be readable. Received: {len(looked)} tiles, none of which can be used:{reasons}")
    shape, dtype = Counter((look.shape, look.dtype) for look in pictures).most_common(1)[0][0]
    alike = [look for look in pictures if (look.shape, look.dtype) == (shape, dtype)]
    descriptions = Counter(look.descriptions for look in alike).most_common(1)[0][0]
    order = file_bands(plan.info, shape[-1], dtype, descriptions)
    keep = select(order, config.bands)
    if config.options.check_band_identity:
        check_band_identity(order.names, np.array([look.means for look in alike]), order.stated_by)
    return Layout(shape, dtype, order, keep)


@dataclass(frozen=True)
class _Look:
    shape: tuple[int, int, int]
    dtype: str
    descriptions: tuple[str, ...]
    means: tuple[float, ...]


def _look(tile: Tile) -> _Look | Rejected:
    try:
        picture, _ = fetch(tile)
    except TileError as error:
        return Rejected(tile, str(error))
    pixels = picture.pixels
    means = tuple(pixels.reshape(-1, pixels.shape[-1]).mean(axis=0, dtype=np.float64).tolist())
    return _Look(pixels.shape, pixels.dtype.name, picture.descriptions, means)
