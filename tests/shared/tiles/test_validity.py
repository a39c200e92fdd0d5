import numpy as np
import pytest
import rasterio
import tifffile
from PIL import Image

from tests.pack.conftest import Table, random_pixels, read_records, write_geotiff
from tilepipe.components.shared.contracts.manifest import SPLITS
from tilepipe.components.shared.errors import BandError, TileError
from tilepipe.components.shared.tiles.validity import has_remote_sidecar

MASK = np.arange(8) >= 4
"""Mask of a row whose left half is invalid."""


def visible(seed, bands=3):
    """Create pixels of about 110, with 0 where they are invalid."""
    pixels = np.random.default_rng(seed).integers(100, 121, (8, 8, bands)).astype("uint8")
    pixels[:, ~MASK] = 0
    return pixels


def fill(table, write):
    for number in range(6):
        path = table.folder / f"{number}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        table.add(f"t{number}", write(number, path) or path, split=SPLITS[number % 3])
    return table


def with_internal_mask(number, path):
    with tifffile.TiffWriter(path) as out:  # as GDAL writes it
        out.write(visible(number), photometric="rgb")
        out.write(np.tile(MASK, (8, 1)), subfiletype=4)


def with_sidecar(number, path):
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False):
        write_geotiff(path, visible(number), photometric="rgb")
        with rasterio.open(path, "r+") as out:
            out.write_mask(np.tile(MASK, (8, 1)))
    assert path.with_suffix(".tif.msk").exists()


def with_alpha(number, path):
    pixels = np.dstack([visible(number), np.tile(MASK, (8, 1)) * np.uint8(255)])
    tifffile.imwrite(path, pixels, photometric="rgb", extrasamples=["unassalpha"])


def with_png_alpha(number, path):
    path = path.with_suffix(".png")
    Image.fromarray(np.dstack([visible(number), np.tile(MASK, (8, 1)) * np.uint8(255)])).save(path)
    return path


def with_transparent_color(number, path):
    path = path.with_suffix(".png")
    Image.fromarray(visible(number)).save(path, transparency=(0, 0, 0))
    return path


@pytest.mark.parametrize(
    "write", [with_internal_mask, with_sidecar, with_alpha, with_png_alpha, with_transparent_color]
)
def test_masked_pixels_are_nodata_and_left_out_of_the_statistics(table, run, write):
    manifest = run(fill(table, write).write())
    assert (manifest.bands, manifest.nodata) == (("red", "green", "blue"), 0)
    for band in manifest.statistics:
        assert 105 < band.mean < 115
        assert band.minimum >= 100


def test_a_sidecar_of_another_size_is_a_reason(table, run):
    def write(number, path):
        with_sidecar(number, path)
        tifffile.imwrite(path.with_suffix(".tif.msk"), np.ones((4, 4), "uint8"))

    with pytest.raises(TileError, match=r"its mask 0.tif.msk is 4x4 pixels of 1 band, where it is 8x8"):
        run(fill(table, write).write())


def test_a_damaged_sidecar_is_a_reason(table, run):
    def write(number, path):
        with_sidecar(number, path)
        path.with_suffix(".tif.msk").write_bytes(b"II*\0")

    with pytest.raises(TileError, match=r"its .msk file does not decode"):
        run(fill(table, write).write())


def test_local_files_are_never_asked_for_remote_sidecars(tmp_path):
    assert not has_remote_sidecar(str(tmp_path / "x.tif"))


def near_infrared_as_alpha(number, path):
    """As in NAIP's files, the fourth band is a measurement, but marked as alpha."""
    tifffile.imwrite(path, random_pixels(number, dtype="uint8", high=250), photometric="rgb", extrasamples=[2])


def test_near_infrared_that_is_marked_as_alpha_is_a_band_once_it_has_a_name(table, run):
    names = ("red", "green", "blue", "nir")
    manifest = run(fill(table, near_infrared_as_alpha).write(bands=names, bands_stated_by="user"))
    assert (manifest.bands, manifest.nodata) == (names, None)


def test_near_infrared_without_a_name_is_no_mask(table, run):
    with pytest.raises(TileError, match=r"marked as alpha but holds other values.*name all bands"):
        run(fill(table, near_infrared_as_alpha).write())
    manifest = run(table.write(), options={"alpha": "mask"})
    assert manifest.bands == ("red", "green", "blue")
    with pytest.raises(BandError, match="4 bands of uint8"):
        run(table.write(), options={"alpha": "band"})


def test_transparency_with_a_bands_name_is_refused(table, run):
    names = ("red", "green", "blue", "nir")
    tiles = fill(table, with_alpha).write(bands=names, bands_stated_by="user")
    with pytest.raises(TileError, match=r"only transparent and opaque pixels, but is named as a band"):
        run(tiles)
    assert run(tiles, options={"alpha": "band"}).bands == names


def test_a_band_named_alpha_is_a_mask_unless_it_is_selected(table, run):
    names = ("red", "green", "blue", "alpha")
    tiles = fill(table, with_alpha).write(bands=names, bands_stated_by="user")
    manifest = run(tiles)
    assert (manifest.bands, manifest.nodata, manifest.statistics[0].minimum) == (names[:3], 0, 100)
    assert run(tiles, out="all", bands=["red", "alpha"]).bands == ("red", "alpha")


def test_opaque_alpha_changes_nothing(table, run):
    def write(number, path):
        pixels = random_pixels(number, (8, 8, 3), "uint8", 250)
        path = path.with_suffix(".png")
        Image.fromarray(np.dstack([pixels, np.full((8, 8), 255, "uint8")]) if number == 3 else pixels).save(path)
        return path

    manifest = run(fill(table, write).write())
    assert (manifest.nodata, manifest.splits["train"].tiles) == (None, 2)


def test_nodata_that_only_the_user_states(table, run):
    tiles = fill(table, lambda number, path: write_geotiff(path, visible(number), photometric="rgb") and None).write()
    assert run(tiles, out="silent").statistics[0].minimum == 0
    manifest = run(tiles, options={"nodata": 0})
    assert (manifest.nodata, manifest.statistics[0].minimum) == (0, 100)


def test_nodata_that_only_some_files_state(table, run, caplog):
    """Files without a nodata value keep the number that the others leave out, which is reported."""
    tiles = fill(
        table,
        lambda number, path: write_geotiff(path, visible(number), **({"nodata": 0} if number % 2 else {})) and None,
    ).write()
    assert run(tiles).statistics[0].minimum == 0
    assert "state no nodata value but hold 0, which other files state as theirs" in caplog.text
    assert "pack_options='{\"nodata\": 0}'" in caplog.text
    caplog.clear()
    assert run(tiles, out="followed", options={"nodata": 0}).statistics[0].minimum == 100
    assert "state no nodata value" not in caplog.text


def test_nan_that_only_the_user_states(tmp_path, run):
    table = Table(tmp_path / "floats")

    def write(number, path):
        pixels = visible(number).astype("float32")
        pixels[:, ~MASK] = np.nan
        write_geotiff(path, pixels)

    tiles = fill(table, write).write(bands=("B02", "B03", "B04"), bands_stated_by="user")
    with pytest.raises(TileError, match='set the option "nodata" to "nan"'):
        run(tiles)
    manifest = run(tiles, options={"nodata": "nan", "check_band_identity": False})
    assert (manifest.nodata, manifest.statistics[0].minimum) == (0, 100)


def test_the_nodata_of_the_file_comes_before_that_of_the_user(table, run):
    def write(number, path):
        pixels = visible(number)
        pixels[0, 0] = 110
        pixels[pixels == 0] = 7
        pixels[1, 1] = 0
        write_geotiff(path, pixels, photometric="rgb", nodata=7)

    manifest = run(fill(table, write).write(), options={"nodata": 0})
    assert (manifest.nodata, manifest.statistics[0].minimum) == (7, 0)


def test_nodata_that_only_the_catalog_states(table, run):
    def write(number, path):
        pixels = visible(number)
        pixels[0, 7] = (7, 100, 100)
        write_geotiff(path, pixels, photometric="rgb")

    manifest = run(fill(table, write).write(nodata=("0",)))
    assert (manifest.nodata, [one.minimum for one in manifest.statistics]) == (0, [7, 100, 100])
    each = run(table.write(nodata=("7", None, "0")), out="each")
    assert (each.nodata, [one.minimum for one in each.statistics]) == (0, [0, 0, 100])


def test_nodata_of_one_file_per_band(table, run):
    for number in range(6):
        paths = []
        for band in range(2):
            pixels = visible(number, 1)
            paths.append(str(write_geotiff(table.folder / f"{number}_{band}.tif", pixels)))
        table.add(f"t{number}", paths[0], split=SPLITS[number % 3], band_uris=paths)
    manifest = run(table.write(bands=("a", "b"), bands_stated_by="user", nodata=(None, "0")))
    assert [one.minimum for one in manifest.statistics] == [0, 100]


def scaled(offsets):
    def write(number, path):
        write_geotiff(path, random_pixels(number), ["B02", "B03", "B04", "B08"])
        with rasterio.open(path, "r+") as out:
            out.scales, out.offsets = (1e-4,) * 4, (offsets[number],) * 4

    return write


def test_one_scale_and_offset_is_fine(table, run):
    assert run(fill(table, scaled([-0.1] * 6)).write()).statistics[0].minimum >= 1


def test_offsets_that_differ_stop(table, run, caplog):
    tiles = fill(table, scaled([-0.1] * 4 + [0] * 2)).write()
    said = (
        r"2 unusable tiles(.|\n)*states scale 0.0001 and offset 0, where the tiles state scale 0.0001 and offset -0.1"
    )
    with pytest.raises(TileError, match=said):
        run(tiles)
    run(tiles, options={"allow_mixed_scaling": True})
    assert "of 6 inspected tiles, only 4 state the same scale and offset" in caplog.text


def test_offsets_of_files_of_bands(table, run):
    for number in range(6):
        paths = []
        for band in range(2):
            path = write_geotiff(table.folder / f"{number}_{band}.tif", random_pixels(number, (8, 8, 1)))
            with rasterio.open(path, "r+") as out:
                out.offsets = ((number == 5) * 1.0 + band,)
            paths.append(str(path))
        table.add(f"t{number}", paths[0], split=SPLITS[number % 3], band_uris=paths)
    tiles = table.write(bands=("a", "b"), bands_stated_by="user")
    with pytest.raises(
        TileError, match=r"1 unusable tiles(.|\n)*states scale 1 and offset 1, where the tiles state no"
    ):
        run(tiles, bands=["a"])


REFLECTANCES = np.random.default_rng(5).uniform(0.05, 0.3, (8, 8, 2))


def test_scale_and_offset_of_each_tile_are_applied(table, run, tmp_path):
    """Tiles of two baselines, whose offset is stated by their items or by their files."""
    for number in range(12):
        offset = -0.1 if number % 3 else 0.0
        numbers = np.round((REFLECTANCES + number / 1000 - offset) / 1e-4).astype("uint16")
        numbers[0, 0] = 0  # nodata
        path = write_geotiff(table.folder / f"{number}.tif", numbers, ("B02", "B03"), nodata=0)
        if number % 2:
            with rasterio.open(path, "r+") as file:
                file.scales, file.offsets = (1e-4, 1e-4), (offset, offset)
        stated = {} if number % 2 else {"scaling": [1e-4, offset]}
        table.add(f"t{number}", path, split=SPLITS[number % 3], **stated)
    manifest = run(table.write(scaling=()))
    assert (manifest.dtype, manifest.nodata) == ("float32", 0.0)
    packed = {
        id_: np.frombuffer(image, "<f4").reshape(8, 8, 2)
        for split in SPLITS
        for id_, _, image in read_records(tmp_path / "out" / split)
    }
    assert len(packed) == 12
    for number in range(12):
        tile = packed[f"t{number}"]
        assert (tile[0, 0] == 0).all()
        np.testing.assert_allclose(tile[1:], (REFLECTANCES + number / 1000)[1:], atol=1e-4)


def test_one_scaling_for_all_tiles_and_files_per_band(table, run, tmp_path):
    for number in range(6):
        files = [
            write_geotiff(table.folder / f"{number}_{band}.tif", random_pixels(number + band, (4, 4, 1)))
            for band in range(2)
        ]
        table.add(f"t{number}", files[0], split=SPLITS[number % 3], band_uris=[str(file) for file in files])
    manifest = run(table.write(bands=("B1", "B2"), bands_stated_by="metadata", scaling=((2.0, 1.0), (1.0, -1.0))))
    pixels = random_pixels(0, (4, 4, 1))
    [tile] = [image for id_, _, image in read_records(tmp_path / "out" / "train") if id_ == "t0"]
    np.testing.assert_array_equal(np.frombuffer(tile, "<f4").reshape(4, 4, 2)[..., 0], pixels[..., 0] * 2 + 1)
    assert manifest.dtype == "float32"


def test_tiles_without_a_scaling_to_apply_are_left_out(table, run):
    table.add_geotiffs(8)
    with pytest.raises(TileError, match="neither its source nor its file states a scale or an offset"):
        run(table.write(scaling=()))
    with pytest.raises(TileError, match="it has 4 bands, but its source states the scales of 2"):
        run(table.write(scaling=((1.0, 0.0), (2.0, 0.0))))
