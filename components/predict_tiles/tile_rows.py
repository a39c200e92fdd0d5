"""Rows of the tile table: those of one worker, and a sample of all."""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tilepipe.components.shared.contracts.tile_table import SCHEMA, damaged, regrouped
from tilepipe.components.shared.tiles.reader import Tile

_SAMPLE_TILES = 64
_TILE_COLUMNS = [field.name for field in fields(Tile) if field.name in SCHEMA.names]


def read_rows(tiles: Path, rows: range, batch_rows: int) -> Iterator[pa.Table]:
    """Read consecutive rows of a tile table in batches.

    Args:
        tiles: Path of the tile table.
        rows: The rows, with a step of 1.
        batch_rows: Rows per batch; the last batch may have fewer.

    Returns:
        Tables with the columns of the tile table, read one after another.

    Raises:
        ArtifactError: The file is damaged, or has fewer rows.
    """
    return regrouped(_batches(tiles, SCHEMA.names, rows), SCHEMA, batch_rows)


def sample_tiles(tiles: Path, count: int) -> list[Tile]:
    """Return at most 64 tiles that are evenly spread over the rows of the table, the same for all workers."""
    chosen = np.unique(np.linspace(0, count - 1, min(count, _SAMPLE_TILES)).astype(np.int64)) if count else np.empty(0)
    found: list[Tile] = []
    first = 0
    for batch in _batches(tiles, _TILE_COLUMNS, range(count)):
        inside = chosen[(chosen >= first) & (chosen < first + batch.num_rows)] - first
        found += to_tiles(batch.take(inside.astype(np.int64)))
        first += batch.num_rows
    return found


def to_tiles(rows: pa.Table) -> list[Tile]:
    """Convert rows of the tile table to tiles."""
    return [_tile(row) for row in rows.select(_TILE_COLUMNS).to_pylist()]


def _tile(row: dict[str, Any]) -> Tile:
    band_uris = row["band_uris"]
    return Tile(**{**row, "band_uris": None if band_uris is None else tuple(band_uris)})


def _batches(tiles: Path, columns: Sequence[str], rows: range) -> Iterator[pa.Table]:
    """Yield the rows of a range, and check that the file has all of them; row groups outside of it are not read."""
    start, left = 0, len(rows)
    try:
        with pq.ParquetFile(tiles) as file:
            for number in range(file.num_row_groups):
                count = file.metadata.row_group(number).num_rows
                low, high = max(rows.start, start), min(rows.stop, start + count)
                if low < high:
                    rows_of_group = file.read_row_group(number, columns=list(columns)).slice(low - start, high - low)
                    yield rows_of_group.cast(pa.schema([SCHEMA.field(name) for name in columns]))
                    left -= high - low
                start += count
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:  # ValueError: other columns
        raise damaged(tiles, str(error)) from error
    if left:
        raise damaged(tiles, f"it has {start:,} rows, where the plan has {rows.stop:,} at least")
