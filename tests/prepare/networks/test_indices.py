import pytest

from tilepipe.components.prepare.networks.indices import SpectralIndex, checked_index, find_indices
from tilepipe.components.shared.contracts.bands import SENTINEL_2_BANDS
from tilepipe.components.shared.errors import BandError


@pytest.mark.parametrize(
    ("given", "spelled"),
    [("ndvi", "NDVI"), (" EVI ", "EVI"), ("nd( b8 , B4)", "ND(B08,B04)"), ("ND(vv,vh)", "ND(vv,vh)")],
)
def test_an_index_has_one_spelling(given, spelled):
    assert checked_index(given) == spelled


@pytest.mark.parametrize("given", ["", "NDXI", "ND(B08)", "ND(B08,B04,B02)", "ND(B08,)", "ND(B8,B08)"])
def test_what_is_no_index_is_refused(given):
    with pytest.raises(ValueError, match=r"Received: .*Correct `indices`"):
        checked_index(given)


@pytest.mark.parametrize(
    ("name", "bands"),
    [
        ("NDVI", ("B08", "B04")),
        ("NDMI", ("B08", "B11")),
        ("NDWI", ("B03", "B08")),
        ("NBR", ("B08", "B12")),
        ("EVI", ("B08", "B04", "B02")),
        ("ND(B8A,B05)", ("B8A", "B05")),
    ],
)
def test_sentinel_2s_numbers_are_known(name, bands):
    assert find_indices([name], SENTINEL_2_BANDS, "sentinel-2") == (SpectralIndex(name, bands),)


def test_landsats_numbers_are_other_bands():
    bands = tuple(f"B{number:02d}" for number in range(1, 12))
    (index,) = find_indices(["NDVI"], bands, "landsat-8")
    assert index.bands == ("B05", "B04")
    assert index.formula == "(B05 - B04) / (B05 + B04)"


def test_common_names_go_before_numbers_in_any_case():
    (index,) = find_indices(["NDMI"], ("Red", "NIR08", "swir16", "B08"), "sentinel-2")
    assert index.bands == ("NIR08", "swir16")


@pytest.mark.parametrize(("name", "missing"), [("NDMI", r"swir16 \(swir16 or swir1 or B11\)"), ("ND(B03,B09)", "B09")])
def test_a_missing_band_is_one_message_that_names_what_is_there(name, missing):
    with pytest.raises(BandError, match=rf"which takes {missing}, for tiles of B02, B03, B04, B08\. "):
        find_indices([name], ("B02", "B03", "B04", "B08"), "sentinel-2")


def test_a_band_that_is_stated_to_be_another_color_is_not_taken_by_its_number():
    with pytest.raises(BandError, match=r"NDVI, which takes nir .*, for tiles of B04 \(red\), B08 \(pan\)\. "):
        find_indices(["NDVI"], ("B04", "B08"), "sentinel-2", ("red", "pan"))


def test_a_difference_may_name_common_names():
    (index,) = find_indices(["ND(nir,red)"], ("b1", "b2"), "sentinel-2", ("red", "nir"))
    assert index.bands == ("b2", "b1")
