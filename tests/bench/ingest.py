"""Ingest of a generated STAC-GeoParquet of ten million rows, compared with one of a million.

Run as a module, it generates one (`generate ROWS FILE`), or ingests one (`ingest FILE FOLDER`), and prints the duration
in seconds and the peak of its memory.
"""

import sys
import time
from pathlib import Path

from tests.bench.peak import Measured, own_peak, peak_of
from tests.support.measure import Figure

_ROWS = (1_000_000, 10_000_000)
_GIBIBYTE = 2**30
_BATCH_ROWS = 122_880
_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
_ITEMS = """
SELECT 'Feature' AS type, '1.0.0' AS stac_version, 'tile_' || lpad(i::VARCHAR, 8, '0') AS id, 'tiles' AS collection,
  struct_pack(xmin := lon, ymin := lat, xmax := lon + 0.009, ymax := lat + 0.006) AS bbox,
  TIMESTAMPTZ '2020-01-01 00:00:00+00' + INTERVAL 1 MINUTE * (i % 500000) AS datetime,
  'class_' || (hash(i) % 10)::VARCHAR AS class, 'scene_' || (i // 200)::VARCHAR AS scene,
  (hash(i + 7) % 10000) / 100.0 AS "eo:cloud_cover",
  struct_pack(
    image := struct_pack(
      href := './scene_' || (i // 200) || '/tile_' || lpad(i::VARCHAR, 8, '0') || '.tif',
      type := 'image/tiff; application=geotiff', roles := ['data'], "file:size" := 107000 + i % 1000,
      "eo:bands" := [{bands}]),
    thumbnail := struct_pack(href := './t/' || i || '.png', type := 'image/png', roles := ['thumbnail'])) AS assets
FROM (SELECT range AS i, -180 + (range % 36000) * 0.00999 AS lon, -60 + (range // 36000) * 0.006 AS lat
      FROM range({rows}))
"""


def measure(scratch: Path) -> list[Figure]:
    """Measure time and memory with a filter, a sample and a split by group, each in a process of its own."""
    few, many = (_measured(scratch, rows) for rows in _ROWS)
    seconds = [float(each.lines[-1]) for each in (few, many)]
    times, gibibytes = seconds[1] / seconds[0], many.peak_bytes / _GIBIBYTE
    return [
        Figure("ingest.seconds_1m", seconds[0], "s"),
        Figure("ingest.seconds_10m", seconds[1], "s", "< 60", seconds[1] < 60),
        Figure("ingest.peak_memory_10m", gibibytes, "GiB", "< 4", gibibytes < 4),
        Figure("ingest.10m_over_1m", times, "times", "<= 11", times <= 11),
    ]


def _measured(scratch: Path, rows: int) -> Measured:
    items, folder = scratch / "items.parquet", scratch / f"ingested-{rows}"
    folder.mkdir()
    peak_of("tests.bench.ingest", "generate", str(rows), str(items))
    found = peak_of("tests.bench.ingest", "ingest", str(items), str(folder))
    for path in (items, *folder.iterdir()):
        path.unlink()
    return found


def _generate(rows: int, path: Path) -> None:
    """Write items in rows of a grid, 200 per scene, with footprints; the table is as wide as real ones."""
    import duckdb
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    bands = ", ".join(f"{{'name': '{name}', 'common_name': 'x{name}'}}" for name in _BANDS)
    polygon = np.dtype([("order", "u1"), ("type", "<u4"), ("rings", "<u4"), ("points", "<u4"), ("xy", "<f8", (5, 2))])
    with duckdb.connect(config={"memory_limit": "2GB", "temp_directory": str(path.parent)}) as connection:
        reader = connection.sql(_ITEMS.format(bands=bands, rows=rows)).to_arrow_reader(_BATCH_ROWS)
        schema = pa.schema([*reader.schema, pa.field("geometry", pa.binary())])
        with pq.ParquetWriter(path, schema, compression="zstd", compression_level=1) as writer:
            for batch in reader:
                west, south, east, north = (np.asarray(batch["bbox"].field(place)) for place in range(4))
                shapes = np.zeros(batch.num_rows, polygon)
                shapes["order"], shapes["type"], shapes["rings"], shapes["points"] = 1, 3, 1, 5
                corners = ((west, south), (east, south), (east, north), (west, north), (west, south))
                for place, (x, y) in enumerate(corners):
                    shapes["xy"][:, place, 0], shapes["xy"][:, place, 1] = x, y
                kind = pa.binary(polygon.itemsize)
                buffers = [None, pa.py_buffer(shapes.tobytes())]
                geometry = pa.FixedSizeBinaryArray.from_buffers(kind, batch.num_rows, buffers).cast(pa.binary())
                writer.write_batch(pa.record_batch([*batch.columns, geometry], schema=schema))


def _ingest(items: Path, folder: Path) -> None:
    from tests.support.ingesting import ingest_into

    ingest_into(
        folder,
        source=str(items),
        where='"eo:cloud_cover" < 50',
        max_per_class=100_000,
        columns={"group": "scene"},
        split_by="group",
    )


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    started = time.perf_counter()
    if what == "generate":
        _generate(int(arguments[0]), Path(arguments[1]))
    else:
        _ingest(Path(arguments[0]), Path(arguments[1]))
    print(time.perf_counter() - started)
    own_peak()
