"""Packing, against the loop that a user would write and against the mere reading of the files."""

import time
from collections.abc import Callable
from pathlib import Path

from tests.ingesting import ingest_into
from tests.measure import Figure
from tilepipe.components.pack.config import PackConfig
from tilepipe.components.pack.pack import PackOutputs, pack
from tilepipe.pipelines.sample.sample import write_sample

_TILES_PER_CLASS = 200


def measure(scratch: Path) -> list[Figure]:
    """Tiles a second of `pack` on local GeoTIFFs, with both comparisons in the same run."""
    sample = scratch / "pack-sample"
    write_sample(sample, tiles_per_class=_TILES_PER_CLASS)
    files = sorted(sample.rglob("*.tif"))
    tiles = scratch / "tiles.parquet"
    ingest_into(scratch, source=str(sample / "catalog.json"))
    out = PackOutputs(
        {split: scratch / "packed" / split for split in ("train", "val", "test")},
        scratch / "packed" / "part.json",
        scratch / "packed" / "contents.parquet",
        scratch / "packed" / "quarantine.parquet",
    )
    packed = _rate(len(files), lambda: pack(PackConfig(), tiles, out))
    loop = _rate(len(files), lambda: _rasterio_loop(files))
    read = _rate(len(files), lambda: [path.read_bytes() for path in files])
    return [
        Figure("pack.rate", packed, "tiles/s"),
        Figure("pack.over_rasterio_loop", packed / loop, "times", ">= 1", packed >= loop),
        Figure("pack.of_bare_reading", packed / read, "of the rate"),
    ]


def _rate(count: int, work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return count / (time.perf_counter() - started)


def _rasterio_loop(files: list[Path]) -> None:
    """Decode each tile, as a notebook would; it writes nothing, which is in its favour."""
    import rasterio

    for path in files:
        with rasterio.open(path) as dataset:
            dataset.read()
