import io

import numpy as np
import pytest
from PIL import Image

from tilepipe.components.evaluate.predict import predict_split
from tilepipe.components.evaluate.tiles import thumbnails
from tilepipe.components.evaluate.tiles.choice import Chooser, ShownTiles
from tilepipe.components.evaluate.tiles.chosen_tiles import read_chosen
from tilepipe.components.evaluate.tiles.thumbnails import Display, with_pictures
from tilepipe.components.shared.contracts.manifest import BandStatistics
from tilepipe.components.shared.contracts.model_file import load_model


@pytest.fixture
def with_bands(make_evaluation):
    def with_bands(bands, dtype="uint16", **more):
        statistics = tuple(BandStatistics(band=b, mean=1000, std=100, minimum=900, maximum=5000) for b in bands)
        update = {"bands": bands, "statistics": statistics, "dtype": dtype, **more}
        return make_evaluation().manifest.model_copy(update=update)

    return with_bands


@pytest.mark.parametrize(
    ("bands", "more", "shown"),
    [
        (("B01", "B02", "B03", "B04", "B08"), {}, ("B04", "B03", "B02")),
        (("red", "green", "blue"), {}, ("red", "green", "blue")),
        (("blue", "nir", "red", "green"), {}, ("red", "green", "blue")),
        (("B1", "B2", "B3"), {"common_names": ("red", "nir", "swir16")}, ("B1", "B2", "B3")),
        (("SR_B1", "SR_B2", "SR_B3"), {"common_names": ("blue", "green", "red")}, ("SR_B3", "SR_B2", "SR_B1")),
        (("B02", "B03", "B04"), {"platform": "landsat-5"}, ("B02", "B03", "B04")),
        (("B02", "B08"), {}, ("B02",)),
        (("gray",), {}, ("gray",)),
    ],
)
def test_red_green_and_blue_are_chosen_by_what_is_known_of_the_bands(with_bands, bands, more, shown):
    assert Display.of(with_bands(bands, **more)).bands == shown


def pixels_of(jpeg):
    return np.asarray(Image.open(io.BytesIO(jpeg)))


def test_a_picture_shows_the_range_of_the_training_tiles(with_bands):
    display = Display.of(with_bands(("red", "green", "blue")))
    assert (display.lows, display.highs) == ((900,) * 3, (1200,) * 3)
    tile = np.zeros((8, 8, 3), np.uint16)
    tile[:, :, 0], tile[:, :, 1], tile[:, :, 2] = 1200, 1050, 9000
    np.testing.assert_allclose(pixels_of(display.picture(tile))[4, 4], [255, 128, 255], atol=6)


def test_bytes_keep_their_values_and_missing_pixels_are_black(with_bands):
    tile = np.full((8, 8, 1), 77, np.uint8)
    assert abs(int(pixels_of(Display.of(with_bands(("gray",), "uint8")).picture(tile))[4, 4]) - 77) < 4
    assert pixels_of(Display.of(with_bands(("gray",), "float32")).picture(np.full((8, 8, 1), np.nan))).max() < 4


@pytest.mark.parametrize(("shape", "size"), [((300, 200), (75, 50)), ((96, 96), (96, 96)), ((97, 4), (48, 2))])
def test_large_tiles_are_shrunk_in_proportion(with_bands, shape, size):
    jpeg = Display.of(with_bands(("gray",), "uint8")).picture(np.full((*shape, 1), 50, np.uint8))
    assert pixels_of(jpeg).shape == size


def test_chosen_tiles_are_those_of_the_predictions(make_data, manifest_at, model_path, monkeypatch):
    root = make_data()
    manifest = manifest_at(root)
    found = predict_split(load_model(model_path, manifest), [root / "test"], "test", manifest, batch_size=16)
    tiles = read_chosen([root / "test"], "test", manifest, found.positions[[0, 35, 7]])
    assert set(tiles) == set(found.positions[[0, 35, 7]].tolist())
    mean = 1300 / 300
    for place in (0, 35, 7):  # the model sees only the mean of a tile
        brightness = tiles[int(found.positions[place])].mean() / 300 - mean
        logits = np.array([-2 * brightness, 1.0, 2 * brightness])
        expected = np.exp(logits) / np.exp(logits).sum()
        np.testing.assert_allclose(found.probabilities[place], expected, rtol=1e-3)
    shown = ShownTiles(Chooser(found, manifest.class_names).mistakes(5))
    drawn = with_pictures(shown, found, [root / "test"], manifest)
    assert set(drawn.pictures) == {tile.place for tile in shown}
    assert drawn.bands == "Pictures show band B02."
    monkeypatch.setattr(thumbnails, "_MOST_BYTES", 2 * len(drawn.pictures[shown.mistakes[0].place]) + 50)
    assert len(with_pictures(shown, found, [root / "test"], manifest).pictures) < len(shown.mistakes)
