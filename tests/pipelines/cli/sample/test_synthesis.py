import numpy as np
import pytest
from numpy.typing import NDArray

from tilepipe.pipelines.cli.sample.landscapes import CLASS_NAMES
from tilepipe.pipelines.cli.sample.sample_tile import Tile, all_tiles
from tilepipe.pipelines.cli.sample.spectra import BANDS
from tilepipe.pipelines.cli.sample.synthesis import synthesize

TILES_PER_CLASS = 40

# Means over 19,440 tiles of EuroSAT (https://github.com/Mohammed-AlKuhali/eurosat-ms-classification, rounded).
EUROSAT_MEANS = {
    "B01": 1353,
    "B02": 1116,
    "B03": 1041,
    "B04": 946,
    "B05": 1198,
    "B06": 2001,
    "B07": 2372,
    "B08": 2299,
    "B09": 731,
    "B10": 12,
    "B11": 1821,
    "B12": 1117,
    "B8A": 2598,
}


@pytest.fixture(scope="module")
def pixels() -> NDArray[np.uint16]:
    """`(class, tile, row, column, band)`."""
    tiles = np.stack([synthesize(tile) for tile in all_tiles(TILES_PER_CLASS, seed=0)])
    return tiles.reshape(len(CLASS_NAMES), TILES_PER_CLASS, 64, 64, 13)


@pytest.mark.parametrize("class_name", CLASS_NAMES)
def test_each_class_gives_digital_numbers(class_name: str) -> None:
    tile = synthesize(Tile(class_name, 1, 0))
    assert tile.dtype == np.uint16
    assert tile.shape == (64, 64, 13)
    assert tile.min() >= 1


def test_band_means_are_those_of_sentinel_2(pixels: NDArray[np.uint16]) -> None:
    means = dict(zip(BANDS, pixels.mean(axis=(0, 1, 2, 3)), strict=True))
    for band, expected in EUROSAT_MEANS.items():
        assert expected / 1.5 < means[band] < expected * 1.5, band


def test_bands_seen_with_60_metres_are_smooth(pixels: NDArray[np.uint16]) -> None:
    steps = np.abs(np.diff(pixels[CLASS_NAMES.index("Residential")].astype(float), axis=1)).mean(axis=(0, 1, 2))
    spread = pixels.std(axis=(0, 1, 2, 3))
    assert (steps / spread)[BANDS.index("B09")] < 0.2 * (steps / spread)[BANDS.index("B04")]


def test_plants_are_green_and_water_is_dark(pixels: NDArray[np.uint16]) -> None:
    red, infrared = (pixels[..., BANDS.index(band)].astype(float).mean(axis=(1, 2, 3)) for band in ("B04", "B08"))
    ndvi = dict(zip(CLASS_NAMES, (infrared - red) / (infrared + red), strict=True))
    assert ndvi["Forest"] > 0.6
    assert ndvi["SeaLake"] < 0
    assert ndvi["Industrial"] < 0.35


def test_band_means_do_not_separate_the_classes(pixels: NDArray[np.uint16]) -> None:
    """A model must have to learn shapes: methods without shapes stay below 90 %."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    means = pixels.mean(axis=(2, 3)).reshape(-1, 13)
    labels = np.repeat(np.arange(len(CLASS_NAMES)), TILES_PER_CLASS)
    baseline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=3000))
    accuracy = cross_val_score(baseline, means, labels, cv=5).mean()
    assert 0.5 < accuracy < 0.9
