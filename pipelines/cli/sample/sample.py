"""Write the synthetic sample: labelled tiles, a STAC catalog and a STAC-GeoParquet file."""

import contextlib
import itertools
import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from tilepipe.components.shared.errors import ParameterError, StorageError
from tilepipe.components.shared.version import VERSION
from tilepipe.pipelines.cli.sample import sample_catalog
from tilepipe.pipelines.cli.sample.geotiff import write_geotiff
from tilepipe.pipelines.cli.sample.landscapes import CLASS_NAMES
from tilepipe.pipelines.cli.sample.sample_tile import MOST_TILES_PER_CLASS, TILE_FOLDER, Tile, all_tiles
from tilepipe.pipelines.cli.sample.spectra import BANDS
from tilepipe.pipelines.cli.sample.synthesis import synthesize

_BATCH_TILES = 50

_README = """\
tilepipe's synthetic sample
===========================

These tiles are SYNTHETIC. No satellite took them: `tilepipe sample` made them from a seed, for trying out tilepipe
without a download. Places and dates are made up. A model trained on them knows nothing about real land.

Made by tilepipe {version} with --tiles-per-class {tiles_per_class} --seed {seed}.

{tile_folder}/<Class>/<Class>_<n>.tif  13 bands of uint16, 64 x 64 pixels of 10 metres, in EuroSAT's order:
                                         {bands}
catalog.json   STAC 1.1, with collection.json and items/<Class>/<Class>_<n>.json
items.parquet  the same items as STAC-GeoParquet; hrefs are relative to this folder

Classes, tile size and band order are those of EuroSAT, and the spectra of the surfaces are measured in it:
P. Helber, B. Bischke, A. Dengel, D. Borth: EuroSAT: A Novel Dataset and Deep Learning Benchmark for Land Use and Land
Cover Classification. IEEE JSTARS 12 (2019), https://doi.org/10.1109/JSTARS.2019.2918242
"""


@dataclass(frozen=True)
class SampleSummary:
    """Contents of a sample."""

    tile_count: int
    catalog: Path
    """The root of the STAC catalog."""


def write_sample(
    out: Path,
    *,
    tiles_per_class: int = 200,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    processes: int | None = None,
) -> SampleSummary:
    """Write a synthetic sample of EuroSAT's ten classes, completely or not at all.

    The same seed and count give the same bytes. The worker processes import the main module again, so a script must
    call this under `if __name__ == "__main__":`.

    Args:
        out: folder to write, which must be empty or missing.
        tiles_per_class: number of tiles per class; default: 200. EuroSAT has 2,000 to 3,000.
        seed: seed of all pixels and dates; default: 0.
        progress: called with the number of finished tiles and the total, every few tiles.
        processes: number of processes; default: the number of processors. It does not affect the bytes.

    Returns:
        Contents of the sample.

    Raises:
        ParameterError: `out` is not empty, or `tiles_per_class` is out of range.
        StorageError: the folder cannot be written.
    """
    out = out.resolve()
    _check_count(tiles_per_class)
    tiles = all_tiles(tiles_per_class, seed)
    try:
        _check_empty(out)
        with _filled_at_the_end(out) as folder:
            _write_tiles(folder, tiles, progress, processes or os.cpu_count() or 1)
            sample_catalog.write_catalog(folder, tiles)
            (folder / "README.txt").write_text(_readme(tiles_per_class, seed))
    except BrokenProcessPool as error:
        raise StorageError(
            f"The worker processes must not be killed. Received: {error} Free some memory and start again."
        ) from error
    except OSError as error:
        raise StorageError(
            f"The sample's folder must be writable and have room for {len(tiles):,} tiles of 107 kB. "
            f"Received: out={str(out)!r}, where {error}. Free space there, or choose another folder."
        ) from error
    return SampleSummary(tile_count=len(tiles), catalog=out / sample_catalog.CATALOG_FILE)


def _check_count(tiles_per_class: int) -> None:
    if not 1 <= tiles_per_class <= MOST_TILES_PER_CLASS:
        raise ParameterError(
            f"`tiles_per_class` must be from 1 to {MOST_TILES_PER_CLASS:,}. "
            f"Received: tiles_per_class={tiles_per_class}. Choose a number in this range, such as 200."
        )


def _check_empty(out: Path) -> None:
    if out.exists() and not (out.is_dir() and _is_empty(out)):
        raise ParameterError(
            f"`out` must be an empty or a new folder. Received: out={str(out)!r}, which is not empty. "
            "Name another folder, or empty this one."
        )


def _is_empty(folder: Path) -> bool:
    return not any(folder.iterdir())


@contextlib.contextmanager
def _filled_at_the_end(out: Path) -> Iterator[Path]:
    """Yield a temporary folder, and move its contents to `out` once the body has ended without an error.

    Unlike `whole_folder`, this keeps `out` itself, which may be a mounted volume or the current directory.
    """
    was_there = out.exists()
    out.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=out, prefix=".partial-"))
    try:
        yield partial
        # The root of the catalog is moved last, so that a catalog is always complete.
        for entry in sorted(partial.iterdir(), key=lambda entry: entry.name == sample_catalog.CATALOG_FILE):
            entry.replace(out / entry.name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if not was_there and _is_empty(out):
            out.rmdir()


def _write_tiles(
    folder: Path, tiles: Sequence[Tile], progress: Callable[[int, int], None] | None, processes: int
) -> None:
    for name in CLASS_NAMES:
        (folder / TILE_FOLDER / name).mkdir(parents=True)
        (folder / "items" / name).mkdir(parents=True)
    batches = [tiles[start : start + _BATCH_TILES] for start in range(0, len(tiles), _BATCH_TILES)]
    done = 0
    for count in _each_batch(folder, batches, min(processes, len(batches))):
        done += count
        if progress:
            progress(done, len(tiles))


def _each_batch(folder: Path, batches: Sequence[Sequence[Tile]], processes: int) -> Iterator[int]:
    if processes == 1:
        yield from map(_write_batch, itertools.repeat(folder), batches)
        return
    # Spawned, not forked: a fork would copy the locks of the caller's threads.
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=spawning) as pool:
        yield from pool.map(_write_batch, itertools.repeat(folder), batches)


def _write_batch(folder: Path, tiles: Sequence[Tile]) -> int:
    for tile in tiles:
        write_geotiff(folder / tile.path, tile, synthesize(tile))
    sample_catalog.write_items(folder, tiles)
    return len(tiles)


def _readme(tiles_per_class: int, seed: int) -> str:
    return _README.format(
        version=VERSION, tiles_per_class=tiles_per_class, seed=seed, tile_folder=TILE_FOLDER, bands=" ".join(BANDS)
    )
