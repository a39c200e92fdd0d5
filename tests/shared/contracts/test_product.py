"""Statements on the product of tiles and scenes."""

import pytest

from tilepipe.components.shared.contracts.product import Product, canonical_level, numbers_offset, satellites


@pytest.mark.parametrize(
    ("baselines", "applied", "stated", "offset"),
    [
        (["05.09"], None, None, 1000.0),
        (["04.00", "05.10"], False, None, 1000.0),
        (["3.01"], None, None, 0.0),
        (["02.08", "05.09"], None, -1000.0, None),
        (["05.09"], True, -1000.0, 0.0),
        ([], None, -1000.0, 1000.0),
        ([], None, 0.0, 0.0),
        ([], None, -0.1, None),
        ([], None, None, None),
    ],
)
def test_the_offset_of_sentinel_2(baselines, applied, stated, offset):
    assert numbers_offset(baselines, applied=applied, stated=stated) == offset


def test_satellites_of_one_family_are_the_same():
    assert satellites(["Sentinel-2A", "sentinel2c", "msi"]) == {"sentinel-2"}
    assert satellites(["LANDSAT_8"]) == satellites(["landsat-9"]) == {"landsat-8"}
    assert satellites(["landsat-7", "drone"]) == {"landsat-7"}


def test_levels_have_one_spelling():
    assert [canonical_level(text) for text in ("Level-2A", "l1c", " l2 ", "")] == ["L2A", "L1C", "L2", ""]


def test_nothing_is_written_where_nothing_is_stated():
    assert not Product()
    assert Product().model_dump() == {}
    stated = Product(levels=("L2A",), offset_applied=False)
    assert stated
    assert Product.model_validate_json(stated.model_dump_json()) == stated
    assert stated.lines() == [("level", "L2A"), ("offset", "in the numbers")]


def test_scaled_values_have_no_offset_in_their_numbers():
    product = Product(levels=("L2A",), baselines=("05.09",), offset_applied=False, number_offset=-1000.0)
    assert product.scaled() == Product(levels=("L2A",))
