"""The order in which tiles are packed."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tilepipe.components.pack.config import PackConfig
from tilepipe.components.shared.contracts.manifest import SPLITS, Split
from tilepipe.components.shared.contracts.tile_table import SCALING, TileTableInfo, damaged, read_tile_table_info
from tilepipe.components.shared.errors import ArtifactError
from tilepipe.components.shared.runtime.database import lacks_space, open_database, plainly_named, quoted, reason
from tilepipe.components.shared.tiles.cache.cache import TileCache
from tilepipe.components.shared.tiles.layout.layout_inference import infer_layout
from tilepipe.components.shared.tiles.reader import Layout, Tile

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

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
        """Iterate over the tiles of a split, or of consecutive places within it, in the order of their records."""
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
                f"CREATE TABLE tiles AS SELECT {_selected(connection, name)} FROM read_parquet($name) "  # noqa: S608
                "ORDER BY list_position($splits, split), md5($seed || ':pack:' || tile_id), tile_id",
                {"name": name, "splits": SPLITS, "seed": str(seed)},
            )
        except duckdb.Error as error:
            if lacks_space(error):
                raise
            raise damaged(tiles, reason(error).replace(name, tiles.name)) from error
    return counts


def _selected(connection: "DuckDBPyConnection", name: str) -> str:
    """Return the columns of a tile for SELECT, of which a tile table may lack `SCALING`."""
    names = {column for column, *_ in connection.execute("DESCRIBE FROM read_parquet(?)", [name]).fetchall()}
    return _SELECTED if SCALING.name in names else _SELECTED.replace(quoted(SCALING.name), f"NULL AS {SCALING.name}")


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
    """Infer the layout of all tiles of a plan from a sample, as `infer_layout` does."""
    return infer_layout(plan.sample(), plan.info, config.bands, config.options, cache)


def _tile(row: tuple[Any, ...]) -> Tile:
    """Make a tile from the columns `_SELECTED` of a row."""
    tile = Tile(*row)
    if tile.scaling is not None:
        tile = replace(tile, scaling=tuple(tile.scaling))
    return tile if tile.band_uris is None else replace(tile, band_uris=tuple(tile.band_uris))
