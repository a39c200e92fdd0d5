"""Tests of the layout of tiles that belong to no split; those of `pack` are in tests/pack."""

import pytest

from tests.pack.conftest import random_pixels, write_geotiff
from tilepipe.components.shared.contracts.tile_table import TileTableInfo
from tilepipe.components.shared.errors import BandError
from tilepipe.components.shared.tiles.layout.layout_inference import infer_layout
from tilepipe.components.shared.tiles.layout.reading_options import ReadingOptions
from tilepipe.components.shared.tiles.reader import Tile


@pytest.fixture
def sample(tmp_path):
    names = ("B02", "B03", "B04")
    paths = [write_geotiff(tmp_path / f"{i}.tif", random_pixels(i, (8, 8, 3)), names) for i in range(3)]
    return [Tile(path.stem, str(path), "", None, None) for path in paths]


def test_bands_are_kept_in_the_order_that_is_asked_for(sample):
    info = TileTableInfo(name="new", source="memory", source_kind="folder")
    options = ReadingOptions(check_band_identity=False)
    layout = infer_layout(sample, info, ("B04", "B02"), options)
    assert (layout.bands, layout.keep) == (("B04", "B02"), (2, 0))
    assert (layout.dtype, layout.shape) == ("uint16", (8, 8, 3))
    with pytest.raises(BandError, match="B08"):
        infer_layout(sample, info, ("B08",), options)


@pytest.mark.parametrize(
    ("of_files", "of_source", "of_user", "is_reported"),
    [
        (0, ("-9999",), None, True),
        (0, ("0", "-9999", "0"), None, True),
        (0, ("0",), None, False),
        (None, ("-9999",), None, False),
        (0, (), None, False),
        (0, (), -9999, False),
    ],
)
def test_files_that_overrule_the_nodata_value_of_their_source(
    tmp_path, caplog, of_files, of_source, of_user, is_reported
):
    pixels = random_pixels(0, (8, 8, 3), "int16")
    path = write_geotiff(tmp_path / "a.tif", pixels, ("B02", "B03", "B04"), nodata=of_files)
    info = TileTableInfo(name="new", source="memory", source_kind="stac-catalog", nodata=of_source)
    options = ReadingOptions(check_band_identity=False, nodata=of_user)
    infer_layout([Tile("a", str(path), "", None, None)], info, (), options)
    reported = "files state the nodata value 0, but their source -9999, which counts as pixels"
    assert (reported in caplog.text) is is_reported
