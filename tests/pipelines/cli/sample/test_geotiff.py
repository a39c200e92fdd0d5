from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from tilepipe.pipelines.cli.sample.geotiff import write_geotiff
from tilepipe.pipelines.cli.sample.sample_tile import Tile
from tilepipe.pipelines.cli.sample.spectra import BANDS
from tilepipe.pipelines.cli.sample.synthesis import synthesize

TILE = Tile("River", 3, 0)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("geotiff") / "tile.tif"
    write_geotiff(path, TILE, synthesize(TILE))
    return path


def test_rasterio_reads_the_same_pixels(path: Path) -> None:
    with rasterio.open(path) as source:
        assert source.dtypes == ("uint16",) * 13
        assert np.array_equal(source.read().transpose(1, 2, 0), synthesize(TILE))


def test_rasterio_knows_where_it_is(path: Path) -> None:
    with rasterio.open(path) as source:
        assert source.crs.to_epsg() == TILE.epsg
        assert source.transform == Affine(10, 0, TILE.west_metres, 0, -10, TILE.north_metres)
        assert source.tags()["AREA_OR_POINT"] == "Area"


def test_bands_are_named_in_eurosats_order(path: Path) -> None:
    with rasterio.open(path) as source:
        assert source.descriptions == BANDS
    assert BANDS[9] == "B10"
    assert BANDS[-1] == "B8A"


def test_the_file_itself_says_that_it_is_synthetic(path: Path) -> None:
    with rasterio.open(path) as source:
        assert source.tags()["TIFFTAG_IMAGEDESCRIPTION"].startswith("Synthetic tile by tilepipe, not a satellite image")


def test_the_same_tile_gives_the_same_bytes(path: Path, tmp_path: Path) -> None:
    write_geotiff(tmp_path / "again.tif", TILE, synthesize(TILE))
    assert (tmp_path / "again.tif").read_bytes() == path.read_bytes()
