import itertools

import numpy as np
import pytest
import tifffile

from tests.pack.conftest import CLAIMED_ORDER, TRUE_ORDER
from tests.support.checks import assert_accepted
from tilepipe.components.shared.contracts.bands import SENTINEL_2_BANDS
from tilepipe.components.shared.errors import BandError
from tilepipe.components.shared.tiles.bands.identity import EUROSAT_MEAN, check_band_identity, find_contradiction
from tilepipe.components.shared.tiles.bands.order import BandOrder

L2A_BANDS = tuple(band for band in SENTINEL_2_BANDS if band != "B10")

# Level 1C, typical of their kind, in TRUE_ORDER; none of them is among the spectra that the check knows.
COVERS = {
    "snow": (8000, 8000, 7800, 7700, 7800, 7700, 7600, 7300, 3000, 30, 900, 600, 7000),
    "desert": (2200, 2300, 2700, 3500, 3700, 3900, 4100, 4000, 1300, 15, 5000, 4300, 4200),
    "cloud": (5000, 5100, 5000, 5200, 5300, 5500, 5600, 5500, 2500, 600, 3800, 2800, 5600),
    "thin cloud": (2500, 2300, 2200, 2100, 2400, 3000, 3300, 3200, 1200, 150, 2600, 1900, 3500),
    "turbid water": (1500, 1400, 1500, 1300, 1200, 700, 720, 600, 200, 9, 150, 100, 500),
    "burnt land": (1300, 1050, 950, 900, 950, 1100, 1250, 1300, 450, 12, 1700, 1600, 1500),
    "icy water": (1200, 900, 650, 400, 350, 280, 280, 240, 60, 3, 30, 20, 200),
    "land": tuple(EUROSAT_MEAN[band] for band in TRUE_ORDER),
}


def spectrum(cover, *, scale=1.0, offset=0.0):
    return dict(zip(TRUE_ORDER, np.array(COVERS[cover]) * scale + offset, strict=True))


def means(values, order):
    return np.array([values[band] for band in order], dtype=float)


@pytest.mark.parametrize("cover", COVERS)
@pytest.mark.parametrize("scale", [1, 1e-4, 255 / 10000])
def test_right_orders_of_any_cover_and_scale_pass(cover, scale):
    values = spectrum(cover, scale=scale)
    for order in (TRUE_ORDER, CLAIMED_ORDER, SENTINEL_2_BANDS, SENTINEL_2_BANDS[::-1]):
        assert find_contradiction(order, means(values, order)) is None


@pytest.mark.parametrize("cover", COVERS)
def test_the_offset_of_newer_processing_passes(cover):
    values = spectrum(cover, offset=1000)
    assert find_contradiction(TRUE_ORDER, means(values, TRUE_ORDER)) is None


@pytest.mark.parametrize("offset", [0, 1000])
@pytest.mark.parametrize("cover", COVERS)
def test_level_2a_passes_in_any_order_that_is_right(cover, offset):
    values = spectrum(cover)
    values["B09"] = values["B8A"] * 1.02  # water vapour is corrected for
    for band, share in zip(TRUE_ORDER, (0.35, 0.45, 0.6, 0.65, 0.8), strict=False):
        values[band] *= share  # haze is corrected for too
    values = {band: value + offset for band, value in values.items()}
    for order in (L2A_BANDS, L2A_BANDS[::-1], ("B02", "B03", "B04", "B08", "B05", "B06", "B07", "B8A", "B11", "B12")):
        assert find_contradiction(order, means(values, order)) is None


@pytest.mark.parametrize("offset", [0, 1000])
def test_the_order_that_eurosat100_claims_is_caught(offset):
    found = find_contradiction(CLAIMED_ORDER, means(spectrum("land", offset=offset), TRUE_ORDER))
    assert found.best == TRUE_ORDER


@pytest.mark.parametrize("wrong", [TRUE_ORDER[::-1], (*TRUE_ORDER[8:], *TRUE_ORDER[:8])])
def test_other_orders_that_cannot_be_are_caught(wrong):
    assert find_contradiction(wrong, means(spectrum("land"), TRUE_ORDER)) is not None


def test_similar_neighbors_are_not_distinguished():
    swapped = ("B03", "B02")
    order = ("B01", *swapped, *SENTINEL_2_BANDS[3:])
    assert find_contradiction(order, means(spectrum("land"), SENTINEL_2_BANDS)) is None


@pytest.mark.parametrize(
    ("names", "values"),
    [
        (("red", "green", "blue"), (3, 2, 1)),
        (("B12", "B11", "B10", "B09", "B08"), (1, 2, 3, 4, 5)),  # too few for a decision
        (SENTINEL_2_BANDS, [0.0] * 13),
        (SENTINEL_2_BANDS, np.linspace(-1, 1, 13)),  # standardised
        (SENTINEL_2_BANDS, [500.0] * 13),  # no spectrum at all
        (SENTINEL_2_BANDS, [*range(1, 13), np.inf]),
    ],
)
def test_what_is_not_checked(names, values):
    assert find_contradiction(names, np.array(values, dtype=float)) is None


def test_bands_that_are_not_sentinel_2s_keep_their_place():
    names = ("NDVI", *CLAIMED_ORDER, "slope")
    values = np.concatenate([[0.3], means(spectrum("land"), TRUE_ORDER), [7]])
    with pytest.raises(BandError) as caught:
        check_band_identity(BandOrder(tuple(names), "metadata"), values[None])
    assert '["NDVI", "B01", ' in str(caught.value)
    assert '"B8A", "slope"]' in str(caught.value)


def test_the_message_says_which_band_looks_like_which_and_what_to_do():
    with pytest.raises(BandError) as caught:
        check_band_identity(BandOrder(tuple(CLAIMED_ORDER), "metadata"), means(spectrum("land"), TRUE_ORDER)[None])
    message = str(caught.value)
    assert "(stated by metadata)" in message
    lines = [line for line in message.splitlines() if line.startswith("  band ")]
    pairs = [(9, "B8A", "B09"), (10, "B09", "B10"), (11, "B10", "B11"), (12, "B11", "B12"), (13, "B12", "B8A")]
    assert len(lines) == len(pairs)
    for line, (place, claimed, looks) in zip(lines, pairs, strict=True):
        assert line.startswith(f"  band {place} is called {claimed}, with a mean of ")
        assert f"it looks like {looks}," in line
    assert "source_bands=[" + ", ".join(f'"{band}"' for band in TRUE_ORDER) + "]" in message
    assert "check_band_identity" in message


@pytest.fixture(scope="module")
def tile_means(eurosat100):
    """Means of the bands in each real tile, by class: `{class: (10, 13)}`, in the order of the files."""
    found = {}
    for path in sorted(eurosat100.rglob("*.tif")):
        found.setdefault(path.parent.name, []).append(tifffile.imread(path).mean(axis=(0, 1)))
    return {label: np.array(tiles) for label, tiles in found.items()}


def test_real_tiles_in_their_true_order_pass(tile_means):
    """For all tiles, each single class and each single tile: Forest and SeaLake have spectra of their own."""
    every = np.concatenate(list(tile_means.values()))
    assert len(every) == 100
    for tiles in (every, *tile_means.values(), *every[:, None]):
        check_band_identity(BandOrder(tuple(TRUE_ORDER), "user"), tiles)


def test_real_tiles_without_cirrus_pass(tile_means):
    keep = [place for place, band in enumerate(TRUE_ORDER) if band != "B10"]
    for tiles in tile_means.values():
        assert_accepted(
            check_band_identity, BandOrder(tuple(TRUE_ORDER[place] for place in keep), "user"), tiles[:, keep]
        )


def test_any_six_bands_of_real_tiles_pass(tile_means):
    every = np.concatenate(list(tile_means.values())).mean(axis=0)
    for keep in itertools.combinations(range(13), 6):
        assert find_contradiction([TRUE_ORDER[place] for place in keep], every[list(keep)]) is None


def test_the_order_that_the_real_metadata_claim_is_caught(tile_means):
    """In all tiles together, and in each single class, including SeaLake and Forest."""
    for tiles in (np.concatenate(list(tile_means.values())), *tile_means.values()):
        with pytest.raises(BandError, match=r"B09, with a mean of [\d.]+ where .* it looks like B10"):
            check_band_identity(BandOrder(tuple(CLAIMED_ORDER), "metadata"), tiles)
    every = np.concatenate(list(tile_means.values())).mean(axis=0)
    assert find_contradiction(CLAIMED_ORDER, every).best == TRUE_ORDER


def test_a_real_level_2a_scene_passes(real_data):
    pixels = tifffile.imread(real_data("scenes/Boadella_2020-01-13.tif"))
    order = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
    for row, column in itertools.product(range(0, 320, 64), repeat=2):
        tile = pixels[row : row + 64, column : column + 64]
        assert_accepted(check_band_identity, BandOrder(tuple(order), "user"), tile.mean(axis=(0, 1))[None])


@pytest.mark.parametrize(("platform", "common"), [("landsat-5", ""), ("", "pan")])
def test_numbers_that_platform_or_common_names_contradict_are_not_checked(platform, common):
    wrong = means(spectrum("land"), TRUE_ORDER)[None]
    names = tuple(CLAIMED_ORDER)
    order = BandOrder(names, "metadata", (common,) * len(names), platform)
    assert_accepted(check_band_identity, order, wrong)
