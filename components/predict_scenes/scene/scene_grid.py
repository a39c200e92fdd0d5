"""The pixels of a scene on one grid, read in rectangles."""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tilepipe.components.predict_scenes.config import ScenesOptions
from tilepipe.components.predict_scenes.scene.affine_maps import Transform, locate, rescale
from tilepipe.components.predict_scenes.scene.gdal_access import open_raster
from tilepipe.components.predict_scenes.scene.scene_mask import Mask, MaskReader, open_mask, without_wrong_alpha
from tilepipe.components.predict_scenes.scene.scene_source import BandFile, Scene, check_item_bands
from tilepipe.components.shared.errors import SourceError, StorageError
from tilepipe.components.shared.storage import storage

Pixels = npt.NDArray[Any]

_ROWS_IN_CACHE = 32
"""Rows whose pixels, of all bands, stay in the processor's cache while the bands are interleaved."""

_MOST_LONGITUDE, _MOST_LATITUDE = 540.0, 91.0
"""Degrees: a grid may cross the antimeridian, and a pixel may reach beyond a pole."""

_SAME_PLACE_PIXELS = 0.01
"""Largest difference of two grids, in pixels, that are read without resampling."""


@dataclass(frozen=True)
class Conversion:
    """Conversion of the numbers of a scene to those of the training tiles: `scale * number + offset`."""

    scale: float = 1.0
    offset: float = 0.0

    @property
    def is_identity(self) -> bool:
        """True if the numbers stay as they are."""
        return self.scale == 1.0 and self.offset == 0.0


@dataclass(frozen=True)
class TileFormat:
    """What the model takes: its bands in order, the dtype, and the number of nodata pixels."""

    bands: tuple[str, ...]
    dtype: str
    fill: float
    means: tuple[float, ...]
    """Mean of each band in the training tiles, for bands that are filled."""


@dataclass(frozen=True)
class _Part:
    """Bands that are read together from one file."""

    raster: Any
    indexes: tuple[int, ...]
    places: tuple[int, ...]
    """Position of each in the tiles."""
    nodata: float | None
    mask: MaskReader | None = None
    """Masks in addition to nodata; None if there are none."""
    nearest: Any = None
    """The nearest pixels of the file, which tell where a band is nodata; None if `raster` does."""
    _buffers: list[Pixels] = field(default_factory=list)

    def buffer(self, height: int, width: int) -> Pixels:
        """Return an array for a rectangle, `(bands, height, width)`, in the same memory as the one before.

        New memory for each rectangle would cost as much as a third of reading it.
        """
        size = len(self.indexes) * height * width
        if not self._buffers or self._buffers[0].size < size:
            self._buffers[:] = [np.empty(size, self.raster.dtypes[0])]
        return self._buffers[0][:size].reshape(len(self.indexes), height, width)

    def read(self, window: Any) -> Pixels:  # noqa: ANN401 - rasterio ships no types
        """Read a rectangle of all bands at once: interleaved pixels would be decoded once per band."""
        numbers = self.buffer(window.height, window.width)
        self.raster.read(list(self.indexes), window=window, out=numbers)
        if self.nearest is not None:
            nearest = self.nearest.read(list(self.indexes), window=window)
            numbers[np.isnan(nearest) if math.isnan(self.nodata or 0) else nearest == self.nodata] = self.nodata
        return numbers


@dataclass(frozen=True)
class SceneGrid:
    """A scene whose bands have one grid. `open_grid` creates it."""

    name: str
    crs: Any
    transform: Any
    """Affine transform from pixels to coordinates of the reference system; it may be rotated."""
    width: int
    height: int
    block_height: int
    """Rows of a block in the file of the finest band; 1 for files whose blocks have the width of the scene."""
    tiles: TileFormat
    conversion: Conversion
    parts: tuple[_Part, ...]

    def read(self, row: int, column: int, height: int, width: int, memory: Pixels | None = None) -> tuple[Pixels, Mask]:
        """Read a rectangle.

        Args:
            row: First row.
            column: First column.
            height: Number of rows.
            width: Number of columns.
            memory: Array of the tiles' dtype to hold the numbers, `(size,)`. Defaults to None: a new one.

        Returns:
            The numbers as the model takes them, `(height, width, bands)` in its dtype; and a bool mask of the pixels
            that are valid in at least one band, `(height, width)`. Invalid numbers are the fill value.

        Raises:
            StorageError: The file cannot be read, or is damaged.
        """
        import rasterio
        from rasterio.windows import Window

        shape = (height, width, len(self.tiles.bands))
        pixels = np.empty(shape, self.tiles.dtype) if memory is None else memory[: math.prod(shape)].reshape(shape)
        for place in self.filled:
            pixels[:, :, place] = np.dtype(self.tiles.dtype).type(self.tiles.means[place])
        valid = np.zeros((height, width), np.bool_)
        window = Window(column, row, width, height)
        for part in self.parts:
            try:
                numbers = part.read(window)
                masks: Sequence[Mask | None] = [None] * len(part.indexes)
                if part.mask:
                    masks = part.mask.read(row, column, height, width, part.indexes)
            except rasterio.errors.RasterioError as error:
                raise StorageError(
                    f"The pixels of a scene must be readable. Received: {self.name}, rows {row} to {row + height - 1}, "
                    f"of which GDAL says: {error}. Check the file, and that its store can be reached."
                ) from None
            converted = []
            for values, mask in zip(numbers, masks, strict=True):
                good = _valid(values, part.nodata, mask)
                converted.append(self._converted(values, good))
                if good is None:
                    valid[:] = True
                else:
                    valid |= good
            for first in range(0, height, _ROWS_IN_CACHE):  # half the time of whole bands one by one
                rows = slice(first, first + _ROWS_IN_CACHE)
                for values, place in zip(converted, part.places, strict=True):
                    pixels[rows, :, place] = values[rows]
        return pixels, valid

    @property
    def filled(self) -> tuple[int, ...]:
        """Positions of the bands that the scene lacks, which get the mean of the training tiles."""
        read = {place for part in self.parts for place in part.places}
        return tuple(place for place in range(len(self.tiles.bands)) if place not in read)

    def _converted(self, values: Pixels, good: Mask | None) -> Pixels:
        dtype = np.dtype(self.tiles.dtype)
        converted = values
        if not self.conversion.is_identity:
            wide: npt.NDArray[Any] = values.astype(np.float64 if values.dtype.itemsize > 2 else np.float32)
            converted = np.add(np.multiply(wide, self.conversion.scale, out=wide), self.conversion.offset, out=wide)
        if converted.dtype != dtype and dtype.kind in "iu":
            if converted.dtype.kind == "f":
                converted = np.rint(np.nan_to_num(converted, nan=self.tiles.fill))
            limits = np.iinfo(dtype)
            if not np.can_cast(converted.dtype, dtype):
                converted = converted.clip(limits.min, limits.max)
        converted = converted.astype(dtype, copy=False)
        return converted if good is None else np.where(good, converted, dtype.type(self.tiles.fill))


def _valid(values: Pixels, nodata: float | None, mask: Mask | None) -> Mask | None:
    """Return the mask of valid pixels of a band; None if all are."""
    good = mask
    if values.dtype.kind == "f":
        finite = np.isfinite(values)
        good = finite if good is None else good & finite
    if nodata is not None and not math.isnan(nodata):
        stated = values != nodata
        good = stated if good is None else good & stated
    return None if good is None or good.all() else good


@contextlib.contextmanager
def open_grid(scene: Scene, tiles: TileFormat, options: ScenesOptions, conversion: Conversion) -> Iterator[SceneGrid]:
    """Open the files of a scene, and bring them to the grid of the finest band.

    Raises:
        SourceError: A file cannot be opened, states no coordinate reference system, or another one than the others.
    """
    with contextlib.ExitStack() as stack:
        uris = dict.fromkeys(scene.files[band].uri for band in tiles.bands if band in scene.files)
        rasters = {uri: stack.enter_context(open_raster(uri)) for uri in uris}
        for uri, raster in rasters.items():
            _check(raster, scene)
            check_item_bands(scene, uri, raster)
        if len({raster.crs for raster in rasters.values()}) > 1:
            each = "; ".join(f"{storage.shown(uri)} in {crs_name(raster.crs)}" for uri, raster in rasters.items())
            raise SourceError(
                f"All bands of a scene must have one coordinate reference system. Received: {each}. Warp the others."
            )
        finest = min(rasters.values(), key=lambda raster: abs(raster.transform.determinant))
        if apart := [uri for uri, raster in rasters.items() if not _overlap(raster, finest)]:
            raise SourceError(
                "All bands of a scene must cover the same place. Received: "
                f"{', '.join(map(storage.shown, apart))} without any pixel in common with the finest band. Correct the "
                "geotransform, or the addresses of the bands."
            )
        transform, width, height = _grid(finest, options, scene)
        vertical, horizontal = finest.block_shapes[0]
        yield SceneGrid(
            name=storage.shown(scene.uri),
            crs=finest.crs,
            transform=transform,
            width=width,
            height=height,
            block_height=1 if horizontal >= finest.width else vertical,
            tiles=tiles,
            conversion=conversion,
            parts=tuple(
                _parts(stack, scene.files, rasters, tiles.bands, (finest.crs, transform, width, height), options)
            ),
        )


def crs_name(crs: Any) -> str:  # noqa: ANN401 - rasterio ships no types
    """Return a short name of a reference system, such as `EPSG:32631`."""
    authority = crs.to_authority()
    return ":".join(authority) if authority else str(crs.to_wkt())[:60]


def _check(raster: Any, scene: Scene) -> None:  # noqa: ANN401
    if raster.crs is None or raster.transform.is_identity:
        has_points = bool(raster.gcps[0])
        states = "no reference system" if raster.crs is None else "no geotransform"
        remedy = "gdalwarp" if has_points else "gdal_translate -a_srs and -a_ullr"
        raise SourceError(
            "A scene must state its coordinate reference system and the place of its pixels. Received: "
            f"{storage.shown(scene.uri)}, of which {storage.shown(raster.name)} states "
            f"{'only ground control points' if has_points else states}. Georeference it, such as with {remedy}."
        )
    if kinds := sorted({kind for kind in raster.dtypes if kind.startswith("complex")}):
        raise SourceError(
            "The numbers of a scene must be real. Received: "
            f"{storage.shown(raster.name)} with {', '.join(kinds)}. Convert it to what the training tiles hold, such "
            "as the amplitude."
        )
    corners = _corners(raster.transform, raster.width, raster.height)
    places = _degrees(raster.crs, corners)
    if not all(abs(x) <= _MOST_LONGITUDE and abs(y) <= _MOST_LATITUDE for x, y in places):
        x, y = corners[0]
        raise SourceError(
            "The coordinates of a scene must fit its coordinate reference system. Received: "
            f"{storage.shown(scene.uri)} in {crs_name(raster.crs)} with a corner at x = {x:g}, y = {y:g}, which is no "
            "place on Earth. Correct its reference system or its geotransform."
        )


def _degrees(crs: Any, places: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:  # noqa: ANN401
    """Return longitude and latitude of places; NaN where the reference system has none."""
    from rasterio.warp import transform

    if not (crs.is_geographic or crs.is_projected):  # such as a local one
        return [(math.nan, math.nan)]
    longitudes, latitudes = transform(crs, "OGC:CRS84", *zip(*places, strict=True))
    return list(zip(longitudes, latitudes, strict=True))


def _grid(finest: Any, options: ScenesOptions, scene: Scene) -> tuple[Any, int, int]:  # noqa: ANN401
    """Return transform, width and height of the common grid."""
    if not options.pixel_metres:
        return finest.transform, finest.width, finest.height
    if not finest.crs.is_projected:
        raise SourceError(
            f"`pixel_metres` needs a scene in a projected reference system. Received: {storage.shown(scene.uri)} in "
            f"{crs_name(finest.crs)}. Warp the scene, or leave pixel_metres at 0."
        )
    transform = finest.transform
    metres = options.pixel_metres / finest.crs.linear_units_factor[1]
    across = metres / math.hypot(transform.a, transform.d)
    down = metres / math.hypot(transform.b, transform.e)
    width, height = max(1, round(finest.width / across)), max(1, round(finest.height / down))
    return rescale(transform, across, down), width, height


def _parts(
    stack: contextlib.ExitStack,
    files: Mapping[str, BandFile],
    rasters: Mapping[str, Any],
    bands: Sequence[str],
    grid: tuple[Any, Any, int, int],
    options: ScenesOptions,
) -> Iterator[_Part]:
    _, transform, width, height = grid
    for uri, raster in rasters.items():
        named = {name: file.index for name, file in files.items() if file.uri == uri}
        mask = open_mask(stack, uri, raster, named, transform)
        size = width, height
        is_on_grid = (raster.width, raster.height) == size and _same_place(raster.transform, transform, size)
        warpable = raster if is_on_grid else without_wrong_alpha(stack, raster, named)
        taken = {place: files[band] for place, band in enumerate(bands) if band in files and files[band].uri == uri}
        for nodata, together in _by_nodata(raster, taken, options):
            indices, places = tuple(taken[place].index for place in together), tuple(together)
            if is_on_grid:
                yield _Part(raster, indices, places, nodata, mask)
                continue
            source, nearest = _warped(stack, warpable, grid, nodata, options)
            # Without nodata, pixels beyond the file are 0.
            valid = MaskReader(raster, transform) if mask is None and nodata is None else mask
            yield _Part(source, indices, places, nodata, valid, nearest)


def _warped(
    stack: contextlib.ExitStack,
    raster: Any,  # noqa: ANN401 - rasterio ships no types
    grid: tuple[Any, Any, int, int],
    nodata: float | None,
    options: ScenesOptions,
) -> tuple[Any, Any]:
    """Return a file on the common grid, and its nearest pixels if only they tell where a band is nodata."""
    from rasterio.enums import Resampling
    from rasterio.vrt import WarpedVRT

    crs, transform, width, height = grid
    warped: dict[str, Any] = {"crs": crs, "transform": transform, "width": width, "height": height}
    if nodata is not None:
        # Not unified: beside alpha, GDAL takes nodata of the other bands for numbers, which it alters by 1.
        warped |= {"src_nodata": nodata, "nodata": nodata, "UNIFIED_SRC_NODATA": "NO"}
    method, nearest = Resampling[options.resampling], None
    if nodata is not None and raster.count > 1 and method != Resampling.nearest:
        # rasterio leaves out what is nodata in all bands, and blends the nodata of one with its numbers. Left
        # out band by band, gaps shrink by the reach of the method, which one band alone does not do.
        nearest = stack.enter_context(WarpedVRT(raster, resampling=Resampling.nearest, **warped))
    return stack.enter_context(WarpedVRT(raster, resampling=method, **warped)), nearest


def _by_nodata(
    raster: Any,  # noqa: ANN401 - rasterio ships no types
    taken: Mapping[int, BandFile],
    options: ScenesOptions,
) -> Iterator[tuple[float | None, list[int]]]:
    """Yield each nodata value of the bands of a file, and the places of its bands in the tiles."""
    groups: dict[str, tuple[float | None, list[int]]] = {}
    for place, file in taken.items():
        nodata = _nodata(raster.nodata, file.nodata, options)
        groups.setdefault(repr(nodata), (nodata, []))[1].append(place)
    yield from groups.values()


def _nodata(of_file: float | None, stated: float | None, options: ScenesOptions) -> float | None:
    if of_file is not None:
        return float(of_file)
    if stated is not None:
        return stated
    return None if options.nodata is None else float(options.nodata)


def _overlap(one: Any, other: Any) -> bool:  # noqa: ANN401 - rasterio ships no types
    """Return whether the bounding boxes of two files, which may be rotated, have an area in common."""
    corners = (_corners(raster.transform, raster.width, raster.height) for raster in (one, other))
    boxes = ([(min(axis), max(axis)) for axis in zip(*places, strict=True)] for places in corners)
    return all(max(low, low2) < min(high, high2) for (low, high), (low2, high2) in zip(*boxes, strict=True))


def _same_place(one: Transform, other: Transform, size: tuple[int, int]) -> bool:
    """Return whether two transforms put the corners of a grid at the same places, but for a small part of a pixel."""
    least = _SAME_PLACE_PIXELS * abs(other.determinant) ** 0.5
    places = zip(_corners(one, *size), _corners(other, *size), strict=True)
    return all(math.dist(here, there) < least for here, there in places)


def _corners(transform: Transform, width: int, height: int) -> list[tuple[float, float]]:
    return [locate(transform, x, y) for x in (0, width) for y in (0, height)]
