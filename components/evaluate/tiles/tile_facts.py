"""Facts about the tiles of a split that only the tile table of `ingest` has, not the shards."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tilepipe.components.evaluate.figures.arrays import Floats
from tilepipe.components.shared.contracts.geometry_column import CORNERS
from tilepipe.components.shared.contracts.tile_table import damaged

_COLUMNS = ["tile_id", "uri", "group", "bbox"]
_BATCH_ROWS = 65_536


@dataclass(frozen=True, eq=False)
class TileFacts:
    """Facts about the tiles of a split, in the order of its predictions."""

    uris: Sequence[str]
    """Address of each tile; empty if the table does not list it."""
    groups: Sequence[str]
    """Group of each tile, which never straddles a split; empty where there is none."""
    centers: Floats
    """Longitude and latitude in degrees, `(tiles, 2)`; NaN where a tile has no bounding box."""


def read_tile_facts(path: Path, tile_ids: Sequence[str]) -> TileFacts:
    """Look up tiles, in the order of their ids, in a tile table, which is read in batches of rows.

    Raises:
        ArtifactError: the file is not a tile table.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    places = {tile_id: place for place, tile_id in enumerate(tile_ids)}
    uris, groups = [""] * len(tile_ids), [""] * len(tile_ids)
    centers = np.full((len(tile_ids), 2), np.nan)
    wanted = pa.array(tile_ids, pa.string())
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=_COLUMNS):
                for row in batch.filter(pc.is_in(batch["tile_id"], wanted)).to_pylist():
                    place = places[row["tile_id"]]
                    uris[place], groups[place] = row["uri"] or "", row["group"] or ""
                    centers[place] = _center(row["bbox"])
    except (pa.ArrowException, OSError, KeyError, UnicodeDecodeError) as error:
        raise damaged(path, str(error)) from error
    return TileFacts(uris, groups, centers)


def _center(bbox: dict[str, Any] | None) -> tuple[float, float]:
    corners = [(bbox or {}).get(name) for name in CORNERS]
    if None in corners:
        return float("nan"), float("nan")
    west, south, east, north = (float(corner) for corner in corners if corner is not None)
    east += 360 * (east < west)  # across the antimeridian
    return ((west + east) / 2 + 180) % 360 - 180, (south + north) / 2
