"""Maps as COGs: layout, overviews, colors and counts."""

import tempfile

import numpy as np
import pytest
import rasterio
from rasterio.crs import CRS

from tests.support.cogs import check_cog
from tests.support.scenes import TRANSFORM
from tests.support.small_disk import small_disk
from tilepipe.components.predict_scenes.blending import FinishedRows
from tilepipe.components.predict_scenes.output.class_map import MapGrid, open_maps, read_preview
from tilepipe.components.shared.errors import StorageError

NAMES, COLORS = ("Forest", "Crop", "Lake"), ((10, 20, 30), (200, 100, 0), (0, 0, 255))
HEIGHT, WIDTH = 1100, 1300


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Write maps of classes 0 and 2, row by row; returns the folder, the classes and the counts."""
    return write_maps(tmp_path_factory.mktemp("maps"))


def write_maps(folder):
    rng = np.random.default_rng(0)
    classes = rng.choice(np.array([0, 2], np.uint8), (HEIGHT, WIDTH))
    classes[:100] = 255
    confidence = np.where(classes == 255, 255, 40 + 20 * classes).astype(np.uint8)
    grid = MapGrid(CRS.from_epsg(32631), TRANSFORM, WIDTH, HEIGHT)
    with open_maps(folder, grid, NAMES, COLORS, {"TILEPIPE_SCENE": "a"}) as writer:
        for first in range(0, HEIGHT, 64):
            rows = slice(first, first + 64)
            writer.write(FinishedRows(first, classes[rows], confidence[rows]))
    return folder, classes, writer.counts


@pytest.mark.parametrize("place", ["maps", "temporary"])
@pytest.mark.parametrize("kibibytes", [8, 250, 2500])
def test_a_full_disk_is_an_error(written, tmp_path, monkeypatch, place, kibibytes):
    folder, temporary = tmp_path / "maps", tmp_path / "temporary"
    folder.mkdir()
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with small_disk(tmp_path / place, kibibytes):
        if place == "maps" and kibibytes == 2500:  # enough for the COGs
            write_maps(folder)
            assert (folder / "classes.tif").read_bytes() == (written[0] / "classes.tif").read_bytes()
        else:
            with pytest.raises(StorageError, match=r"must be written as a whole.*Free space in "):
                write_maps(folder)


@pytest.mark.parametrize("name", ["classes.tif", "confidence.tif"])
def test_the_files_are_cloud_optimized(written, name):
    assert len(check_cog(written[0] / name)) == 3


def test_overviews_hold_only_classes_that_were_predicted(written):
    folder, classes, _ = written
    with rasterio.open(folder / "classes.tif") as file:
        assert file.overviews(1) == [2, 4]
        np.testing.assert_array_equal(file.read(1), classes)
        assert file.tags()["TILEPIPE_SCENE"] == "a"
        assert file.tags(1)["CLASS_2"] == "Lake"
        assert file.descriptions == ("class",)
    for level in (0, 1):
        with rasterio.open(folder / "classes.tif", overview_level=level) as file:
            assert set(np.unique(file.read(1))) == {0, 2, 255}
            assert file.colormap(1)[1] == (200, 100, 0, 255)
            assert file.nodata == 255


def test_pixels_and_confidence_are_counted(written):
    _, classes, counts = written
    assert counts.pixels.tolist() == [(classes == 0).sum(), 0, (classes == 2).sum()]
    assert counts.confidence.tolist() == [40 * (classes == 0).sum(), 0, 80 * (classes == 2).sum()]
    assert counts.nodata == 100 * WIDTH


def test_the_preview_is_bounded_and_shows_classes(written):
    preview = read_preview(written[0] / "classes.tif")
    assert preview.shape == (round(HEIGHT * 1024 / WIDTH), 1024)
    assert set(np.unique(preview)) == {0, 2, 255}


def test_nothing_is_written_after_an_error(tmp_path):
    grid = MapGrid(CRS.from_epsg(32631), TRANSFORM, 8, 8)
    with pytest.raises(RuntimeError, match="interrupted"), open_maps(tmp_path, grid, NAMES, COLORS, {}):
        raise RuntimeError("interrupted")
    assert list(tmp_path.iterdir()) == []
