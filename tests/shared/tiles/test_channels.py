import numpy as np
import pytest
from PIL import Image

from tests.pack.conftest import random_pixels, write_geotiff
from tilepipe.components.shared.contracts.manifest import SPLITS
from tilepipe.components.shared.errors import TileError
from tilepipe.components.shared.tiles.channels import converted
from tilepipe.components.shared.tiles.picture import Picture


def test_grey_is_pillows():
    pixels = random_pixels(1, (9, 7, 3), "uint8", 255)
    grey = converted(Picture(pixels), "grey").pixels
    np.testing.assert_array_equal(grey[..., 0], np.asarray(Image.fromarray(pixels).convert("L")))
    assert converted(Picture(pixels.astype("float32")), "grey").pixels[0, 0, 0] == pytest.approx(grey[0, 0, 0], abs=0.6)


def test_grey_is_repeated():
    pixels = random_pixels(1, (9, 7, 1), "uint8", 255)
    np.testing.assert_array_equal(converted(Picture(pixels), "rgb").pixels, np.dstack([pixels] * 3))


def test_nodata_in_any_channel_is_nodata_of_grey():
    pixels = np.array([[[0, 5, 5], [5, 5, 5]]], "uint8")
    picture = converted(Picture(pixels, nodata=0), "grey")
    assert (picture.nodata, picture.valid.ravel().tolist()) == (None, [False, True])


def test_other_channels_stay():
    picture = Picture(random_pixels())
    assert converted(picture, "rgb") is converted(picture, "grey") is converted(picture, "") is picture


@pytest.fixture
def mixed(table):
    """Color, grey, grey with alpha, and color with alpha."""
    for number in range(12):
        image = Image.fromarray(random_pixels(number, (8, 8, 3), "uint8", 250))
        path = table.folder / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.convert({3: "L", 4: "RGBA", 5: "LA"}.get(number, "RGB")).save(path)
        table.add(f"t{number}", path, split=SPLITS[number % 3])
    return table.write()


def test_mixed_channels_name_their_remedy(mixed, run):
    with pytest.raises(TileError, match=r"Received: 2 unusable tiles(.|\n)*pack_options='{\"channels\": \"rgb\"}'"):
        run(mixed)


@pytest.mark.parametrize(("channels", "bands"), [("rgb", ("red", "green", "blue")), ("grey", ("grey",))])
def test_mixed_channels_are_converted(mixed, run, channels, bands):
    manifest = run(mixed, options={"channels": channels})
    assert (manifest.bands, manifest.nodata) == (bands, None)
    assert sum(split.tiles for split in manifest.splits.values()) == 12


def test_images_that_cannot_be_converted_get_no_advice_to_convert_them(mixed, run, table):
    write_geotiff(
        table.folder / "four.tif",
        random_pixels(9, (8, 8, 4), "uint8", 250),
        photometric="minisblack",
        alpha="unspecified",
    )
    table.add("four", table.folder / "four.tif", split="train")
    with pytest.raises(TileError, match=r"8x8 pixels of 4 bands, where .*, also after conversion to rgb") as caught:
        run(table.write(), options={"channels": "rgb"})
    assert "To convert" not in str(caught.value)


@pytest.mark.parametrize(("mode", "bands"), [("L", ("grey",)), ("RGBA", ("red", "green", "blue"))])
def test_sets_of_one_kind_need_no_names(table, run, mode, bands):
    for number in range(6):
        path = table.folder / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random_pixels(number, (8, 8, 3), "uint8", 250)).convert(mode).save(path)
        table.add(f"t{number}", path, split=SPLITS[number % 3])
    assert run(table.write()).bands == bands
