import pytest

from tilepipe.components.shared.contracts.bands import (
    SENTINEL_2_BANDS,
    SENTINEL_2_COMMON_NAMES,
    are_band_numbers,
    informative_common_names,
    is_sentinel_2_band,
    other_platform,
    stated_platform,
)


@pytest.mark.parametrize(
    ("stated", "platform"),
    [
        ("landsat-5 tm", "landsat-5"),
        ("LANDSAT_8 oli tirs", "landsat-8"),
        ("landsat oli", "landsat-8"),
        ("oli", "landsat-8"),
        ("landsat-9 landsat oli", "landsat-9"),
        ("2403 planetscope ps2", "planetscope"),
        ("terra modis", "terra"),
        ("sentinel-2a sentinel-2 msi", ""),
        ("Sentinel-2B", ""),
        ("msi", ""),
        ("synthetic", ""),
        ("", ""),
    ],
)
def test_platforms_that_number_their_bands_in_another_way(stated, platform):
    assert other_platform(stated) == platform


def test_every_sentinel_2_band_has_common_names():
    assert tuple(SENTINEL_2_COMMON_NAMES) == SENTINEL_2_BANDS
    assert all(is_sentinel_2_band(name, common) for name, names in SENTINEL_2_COMMON_NAMES.items() for common in names)


@pytest.mark.parametrize(
    ("name", "common", "platform"), [("B04", "nir08", ""), ("B04", "", "landsat-5"), ("B4", "", "")]
)
def test_numbers_that_something_contradicts_are_not_sentinel_2s(name, common, platform):
    assert not is_sentinel_2_band(name, common, platform)


def test_common_names_that_only_repeat_the_names_are_not_kept():
    assert informative_common_names(("Red", "B8"), ("red", "")) == ()
    assert informative_common_names(("Red", "B8"), ("red", "nir")) == ("red", "nir")
    assert informative_common_names(("B8",), ()) == ()


@pytest.mark.parametrize(("instruments", "words"), [(["oli", "tirs"], " oli tirs"), ("oli", ""), (5, ""), ([None], "")])
def test_a_platform_is_stated_in_words(instruments, words):
    properties = {"platform": "landsat-8", "constellation": None, "instruments": instruments}
    assert stated_platform(properties) == f"landsat-8{words}"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("b1",), True),
        (("b1", "b2", "b3"), True),
        (("B1", "B2", "B3"), False),
        (("b2", "b1"), False),
        (("b1", "b2", "b4"), False),
        (("b01", "b02"), False),
        ((), False),
    ],
)
def test_numbers_of_bands(names, expected):
    assert are_band_numbers(names) is expected
