import math
import re

import pytest

from tilepipe.components.shared.pages import formatting


@pytest.mark.parametrize(
    ("share", "long", "short"),
    [
        (0.923, "92.3 %", "92 %"),
        (1.0, "100.0 %", "100 %"),
        (0.002, "0.2 %", "<1 %"),
        (0.998, "99.8 %", ">99 %"),
        (0.0, "0.0 %", "0 %"),
    ],
)
def test_percents(share, long, short):
    assert formatting.percent(share).replace("\u202f", " ") == long
    assert formatting.short_percent(share).replace("\u202f", " ") == short


def test_where_there_is_no_share_there_is_a_dash():
    assert formatting.percent(math.nan) == formatting.DASH


@pytest.mark.parametrize(("count", "shown"), [(7, "7"), (1620, "1620"), (16_200, "16.2k"), (162_000, "162k")])
def test_counts_fit_a_cell(count, shown):
    assert formatting.short_count(count) == shown


def test_one_tile_is_no_tiles():
    assert (formatting.tiles(1), formatting.tiles(1620)) == ("1 tile", "1,620 tiles")


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("HerbaceousVegetation", ["Herbaceous", "Vegetation"]),
        ("sea_lake", ["sea_", "lake"]),
        ("x" * 40, ["x" * 16, "x" * 16, "x" * 8]),
        ("", [""]),
    ],
)
def test_names_break_between_words_and_within_overlong_ones(name, parts):
    assert formatting.breakable(name).split("<wbr>") == parts


def test_names_are_escaped():
    shown = formatting.breakable("<img src=x onerror=alert(1)>")
    assert not re.search("<(?!wbr>)", shown)


@pytest.mark.parametrize(("name", "shown"), [("Sea_Lake", r"Sea\_Lake"), ("a\nb", "a b"), ("Forest", "Forest")])
def test_plain(name, shown):
    assert formatting.plain(name) == shown
