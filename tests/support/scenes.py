"""Small scenes that are made in milliseconds, and a model for them."""

import json
from pathlib import Path

import numpy as np
import rasterio
from rasterio import Affine

from tests.support.bundles import write_model_bundle
from tests.support.packed import manifest_for
from tilepipe.components.predict_scenes.config import PredictScenesConfig
from tilepipe.components.predict_scenes.scene.gdal_access import gdal_environment
from tilepipe.components.predict_scenes.scene.scene_grid import Conversion, TileFormat, open_grid
from tilepipe.components.predict_scenes.scene.scene_source import open_scene

CRS = "EPSG:32631"
TRANSFORM = Affine(10.0, 0.0, 500_000.0, 0.0, -10.0, 4_700_000.0)
TILE = 8
BRIGHTNESS = (60, 120, 180)
"""Brightness of each class, in class order: Forest, SeaLake, Industrial."""


def write_bundle(
    path: Path, *, names=("B01", "B02"), dtype="uint16", statistics=((120.0, 50.0),), tile=TILE, product=None, **files
) -> Path:
    """Write the bundle of a model that gives the class of the nearest brightness.

    Statistics are mean and standard deviation of each band, or one pair for all.
    """
    values = [*statistics] * (len(names) // len(statistics))
    manifest = manifest_for((tile, tile, len(names)), dtype, statistics=values)
    if names != manifest.bands:
        renamed = [one.model_copy(update={"band": name}) for one, name in zip(manifest.statistics, names, strict=True)]
        manifest = manifest.model_copy(update={"bands": tuple(names), "statistics": tuple(renamed)})
    if product:
        manifest = manifest.model_copy(update={"product": product})
    write_model_bundle(path, manifest, **files)
    return path


def cells(classes, tile=TILE) -> np.ndarray:
    """Return pixels whose tiles have the brightness of the given classes, uint16; -1 is nodata, 0."""
    values = np.array([*BRIGHTNESS, 0], np.uint16)[np.asarray(classes)]
    return values.repeat(tile, axis=0).repeat(tile, axis=1)


def write_scene(
    path: Path, pixels, *, bands=("B01", "B02"), nodata=0, crs=CRS, transform=TRANSFORM, tags=None, **profile
) -> Path:
    """Write a GeoTIFF; pixels are `(height, width)`, the same for all bands, or `(bands, height, width)`."""
    pixels = np.asarray(pixels)
    pixels = pixels if pixels.ndim == 3 else np.stack([pixels] * len(bands))
    count, height, width = pixels.shape
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=height,
        width=width,
        count=count,
        dtype=pixels.dtype.name,
        nodata=nodata,
        crs=crs,
        transform=transform,
        **profile,
    ) as file:
        file.write(pixels)
        for index, name in enumerate(bands or (), 1):
            file.set_band_description(index, name)
        file.update_tags(**(tags or {}))
    return path


def write_item(path: Path, assets: dict, **properties) -> Path:
    """Write a STAC item of a scene."""
    item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": path.stem,
        "geometry": None,
        "properties": {"datetime": "2021-06-13T10:56:21Z", **properties},
        "links": [],
        "assets": assets,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(item), encoding="utf-8")
    return path


def read_scene(path, *, dtype="uint16", fill=7, conversion=None, bands=("B01", "B02"), scene_bands=(), **options):
    """Read a whole scene: pixels, the mask of valid ones, and the grid."""
    config = PredictScenesConfig.parse(
        scene_uri=str(path), model_uri="/m.tar.gz", scene_bands=list(scene_bands), options=options
    )
    tiles = TileFormat(bands, dtype, fill, (50.0,) * len(bands))
    with (
        gdal_environment(),
        open_grid(open_scene(config, bands), tiles, config.options, conversion or Conversion()) as grid,
    ):
        pixels, valid = grid.read(0, 0, grid.height, grid.width)
        middle, _ = grid.read(1, 2, 3, 4)
        np.testing.assert_array_equal(middle, pixels[1:4, 2:6])
        return pixels, valid, grid
