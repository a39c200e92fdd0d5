"""Whole tile tables, for comparisons; the steps read only some columns, or one batch after another."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tilepipe.components.shared.contracts.tile_table import TileTableInfo, read_tile_table_info


def read_tile_table(path: Path) -> tuple[pa.Table, TileTableInfo]:
    """Return the rows of a tile table, sorted by `tile_id`, and the metadata."""
    with pq.ParquetFile(path) as file:
        return file.read(), read_tile_table_info(path)
