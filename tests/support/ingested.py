"""A table `tiles` in DuckDB, as in ingest when it creates its report."""

import datetime as dt

import duckdb
import numpy as np
import pyarrow as pa

from tilepipe.components.ingest.report.facts import SelectionFacts
from tilepipe.components.shared.contracts.manifest import SPLITS
from tilepipe.components.shared.contracts.tile_table import SCHEMA, TileTableInfo

CLASSES = ("Forest", "River", "SeaLake")


def table_of(rows):
    """Open a connection with the table; a row is a dictionary, and missing values are null."""
    columns = {name: [row.get(name) for row in rows] for name in SCHEMA.names}
    for i, row in enumerate(rows):
        columns["tile_id"][i] = row.get("tile_id", f"tile{i:05d}")
        columns["uri"][i] = f"/tiles/{columns['tile_id'][i]}.tif"
    connection = duckdb.connect()
    connection.register("given", pa.table(columns, schema=SCHEMA))
    connection.execute("CREATE TABLE tiles AS SELECT * FROM given")
    connection.unregister("given")
    return connection


def box(longitude, latitude, side=0.01):
    """Return a bounding box around a center; west is greater than east if it crosses the antimeridian."""
    west, east = ((x + 180) % 360 - 180 for x in (longitude - side / 2, longitude + side / 2))
    return {"xmin": west, "ymin": latitude - side / 2, "xmax": east, "ymax": latitude + side / 2}


def scattered(count=400, classes=CLASSES, *, longitude=(10.0, 14.0), latitude=(46.0, 49.0), located=True, seed=0):
    """Create rows with values in all columns, 70, 15 and 15 % of them per split, with ten tiles per group."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        split = SPLITS[0 if i % 100 < 70 else 1 if i % 100 < 85 else 2]
        rows.append(
            {
                "tile_id": f"tile{i:05d}",
                "label": classes[int(rng.integers(len(classes)) * rng.random())],
                "split": split,
                "group": f"{split}{i // 10}",
                "datetime": dt.datetime(2020, 1, 1, tzinfo=dt.UTC) + dt.timedelta(days=i % 300),
                "bbox": box(rng.uniform(*longitude), rng.uniform(*latitude)) if located else None,
                "checksum": f"1220{i:064x}",
            }
        )
    return rows


def info_for(classes=CLASSES, **changes):
    """Return the metadata of the tile table."""
    given = {
        "name": "eurosat-sample (synthetic)",
        "source": "https://catalog.example.org/eurosat/collection.json",
        "source_kind": "stac-catalog",
        "snapshot": "2026-01-01T00:00:00Z",
        "bands": ("B02", "B03", "B04", "B08"),
        "bands_stated_by": "metadata",
        "class_names": tuple(classes),
    }
    return TileTableInfo(**{**given, **changes})


SELECTION = SelectionFacts(
    found=450,
    left_out=(("the condition `where` does not hold", 30), ("labels that recode drops: Cloud", 12), ("no label", 8)),
    recode={"Sea": "SeaLake", "Lake": "SeaLake", "Cloud": None},
    dropped_labels={"Cloud": 12},
    split_how="by group, 70 / 15 / 15 %, seed 0",
)
