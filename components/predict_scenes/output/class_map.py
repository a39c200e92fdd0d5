"""Cloud-optimized GeoTIFFs of the classes and of the confidence, written a few rows at a time."""

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from tilepipe.components.predict_scenes.blending import NODATA, FinishedRows
from tilepipe.components.predict_scenes.output.class_colors import Color
from tilepipe.components.shared.errors import StorageError

CLASSES, CONFIDENCE = "classes.tif", "confidence.tif"

_BLOCK_PIXELS = 512
_PREVIEW_PIXELS = 1024


@dataclass(frozen=True)
class MapGrid:
    """Grid of a class map."""

    crs: Any
    transform: Any
    width: int
    height: int


@dataclass
class ClassCounts:
    """Pixels of the class map by class, and the sum of their confidences in percent."""

    pixels: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.int64]
    nodata: int = 0

    def add(self, rows: FinishedRows) -> None:
        """Count the pixels of rows."""
        classes = len(self.pixels)
        known = rows.classes != NODATA
        self.pixels += np.bincount(rows.classes[known], minlength=classes)[:classes]
        sums = np.bincount(rows.classes[known], weights=rows.confidence[known], minlength=classes)[:classes]
        self.confidence += sums.astype(np.int64)
        self.nodata += int((~known).sum())


class MapWriter:
    """Writer of the two maps. `open_maps` creates it."""

    def __init__(self, classes: Any, confidence: Any, counts: ClassCounts) -> None:  # noqa: ANN401
        self._classes, self._confidence = classes, confidence
        self.counts = counts
        self.digests = {CLASSES: xxhash.xxh3_128(), CONFIDENCE: xxhash.xxh3_128()}
        """Digests of the pixels, row by row."""

    def write(self, rows: FinishedRows) -> None:
        """Write the next rows."""
        from rasterio.windows import Window

        height, width = rows.classes.shape
        window = Window(0, rows.first, width, height)
        with _writing():
            self._classes.write(rows.classes, 1, window=window)
            self._confidence.write(rows.confidence, 1, window=window)
        self.digests[CLASSES].update(np.ascontiguousarray(rows.classes).data)
        self.digests[CONFIDENCE].update(np.ascontiguousarray(rows.confidence).data)
        self.counts.add(rows)


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    """Turn errors of GDAL, which seldom name the cause, into one that does."""
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    try:
        yield
    except (CPLE_BaseError, RasterioError) as error:
        raise _incomplete(f"an error of GDAL ({error})") from None


def _incomplete(received: str) -> StorageError:
    return StorageError(
        f"The maps of a scene must be written as a whole. Received: {received}. "
        f"Free space in {tempfile.gettempdir()} and in the folder of the results, or give the step a larger volume."
    )


@contextlib.contextmanager
def open_maps(
    folder: Path, grid: MapGrid, class_names: Sequence[str], colors: Sequence[Color], tags: dict[str, str]
) -> Iterator[MapWriter]:
    """Write COGs, `classes.tif` and `confidence.tif`, into an existing folder once the body has ended without an error.

    The pixels first go to plain temporary files: a COG has its overviews before the pixels. Overviews of the classes
    hold the most frequent class, never a mean of two. All tags are set before the COG is made, since a later tag would
    break its layout. The COGs are read again, since GDAL closes a file on a full disk without an error.

    Raises:
        StorageError: A map cannot be written.
    """
    import rasterio
    import rasterio.shutil

    profile = {
        "driver": "GTiff",
        "width": grid.width,
        "height": grid.height,
        "count": 1,
        "dtype": "uint8",
        "nodata": NODATA,
        "crs": grid.crs,
        "transform": grid.transform,
        "tiled": True,
        "blockxsize": _BLOCK_PIXELS,
        "blockysize": _BLOCK_PIXELS,
        "BIGTIFF": "IF_SAFER",
    }
    counts = ClassCounts(np.zeros(len(class_names), np.int64), np.zeros(len(class_names), np.int64))
    with tempfile.TemporaryDirectory(prefix="tilepipe-") as name:
        temporary = Path(name)
        with (
            rasterio.open(temporary / CLASSES, "w", **profile) as classes,
            rasterio.open(temporary / CONFIDENCE, "w", **profile) as confidence,
        ):
            table = {value: (*color, 255) for value, color in enumerate(colors)}
            classes.write_colormap(1, {**table, NODATA: (0, 0, 0, 0)})
            classes.set_band_description(1, "class")
            confidence.set_band_description(1, "confidence")
            confidence.set_band_unit(1, "%")
            for dataset in (classes, confidence):
                dataset.update_tags(**tags)
            classes.update_tags(1, **{f"CLASS_{value}": text for value, text in enumerate(class_names)})
            writer = MapWriter(classes, confidence, counts)
            yield writer
        for file, resampling in ((CLASSES, "MODE"), (CONFIDENCE, "AVERAGE")):
            with _writing():
                rasterio.shutil.copy(
                    temporary / file,
                    folder / file,
                    driver="COG",
                    compress="DEFLATE",
                    predictor="NO",
                    blocksize=_BLOCK_PIXELS,
                    overview_resampling=resampling,
                    bigtiff="IF_SAFER",
                )
                if _digest(folder / file) != writer.digests[file].digest():
                    raise _incomplete(f"{file} with other pixels than were written")


def _digest(path: Path) -> bytes:
    """Return the digest of the pixels of a map, which is read a few rows at a time."""
    import rasterio
    from rasterio.windows import Window

    found = xxhash.xxh3_128()
    with rasterio.open(path) as dataset:
        for first in range(0, dataset.height, _BLOCK_PIXELS):
            rows = min(_BLOCK_PIXELS, dataset.height - first)
            found.update(dataset.read(1, window=Window(0, first, dataset.width, rows)))
    return found.digest()


def read_preview(path: Path) -> npt.NDArray[np.uint8]:
    """Read the overviews of a class map at a size for a picture: at most 1,024 pixels along its longer side.

    Returns:
        Classes, `(height, width)`.
    """
    import rasterio
    from rasterio.enums import Resampling

    with rasterio.open(path) as dataset:
        factor = max(1.0, max(dataset.shape) / _PREVIEW_PIXELS)
        size = tuple(max(1, round(side / factor)) for side in dataset.shape)
        values: npt.NDArray[np.uint8] = dataset.read(1, out_shape=size, resampling=Resampling.nearest)
    return values
