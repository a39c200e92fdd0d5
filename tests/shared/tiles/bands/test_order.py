import pytest

from tilepipe.components.shared.contracts.tile_table import TileTableInfo
from tilepipe.components.shared.errors import BandError
from tilepipe.components.shared.tiles.bands.order import BandOrder, file_bands, select


def info(*bands, by="metadata"):
    return TileTableInfo(name="x", source="x", source_kind="folder", bands=bands, bands_stated_by=by)


@pytest.mark.parametrize(
    ("stated", "channels", "dtype", "descriptions", "expected"),
    [
        (info("B02", "B03"), 2, "uint16", (), ("B02", "B03", "metadata")),
        (info("B02", "B03"), 2, "uint16", ("B3", "B2", "nonsense"), ("B02", "B03", "metadata")),
        (info("B02", "B03", by="user"), 2, "uint16", ("B3", "B2"), ("B02", "B03", "user")),
        (info("B02", "B03"), 2, "uint16", ("Blue", "B3"), ("B02", "B03", "metadata")),
        (info("B02", "B03"), 2, "uint16", ("B3", "B3"), ("B02", "B03", "metadata")),
        (info(), 2, "uint16", ("B2", "NDVI"), ("B02", "NDVI", "files")),
        (info(), 3, "uint8", (), ("red", "green", "blue", "convention")),
        (info(), 1, "uint8", (), ("grey", "convention")),
        (info(), 3, "uint8", ("B8A", "B4", "B3"), ("B8A", "B04", "B03", "files")),
    ],
)
def test_who_says_what_the_bands_are(stated, channels, dtype, descriptions, expected):
    order = file_bands(stated, channels, dtype, descriptions)
    assert (*order.names, order.stated_by) == expected


@pytest.mark.parametrize(
    ("stated", "channels", "dtype", "descriptions", "message"),
    [
        (info("B02", "B03"), 3, "uint16", (), r"2 names, B02, B03 \(stated by metadata\), for 3 bands"),
        (info("B02", "B02"), 2, "uint16", (), "one name for each band.*for 2 bands, with B02 repeated"),
        (info("B02", "B03"), 2, "uint16", ("B3", "B2"), "B02, B03 .*but the files say B03, B02.*source_bands"),
        (info("B02", "B03", "B04"), 3, "uint16", ("B4", "B3", "B8"), "B02, B03, B04 .*but the files say B04, B03, B08"),
        (info(), 3, "uint16", (), "3 bands of uint16, which neither"),
        (info(), 1, "uint16", (), "1 band of uint16.*Give source_bands"),
        (info(), 2, "uint16", ("B2", "B02"), "must have names"),
    ],
)
def test_band_names_are_missing_or_contradictory(stated, channels, dtype, descriptions, message):
    with pytest.raises(BandError, match=message):
        file_bands(stated, channels, dtype, descriptions)


def test_bands_are_selected_by_name():
    order = BandOrder(("B02", "B03", "B04"), "user")
    assert select(order, ()) == (0, 1, 2)
    assert select(order, ("B04", "B02")) == (2, 0)
    with pytest.raises(BandError, match=r"among B02, B03, B04 .*Received: bands=B99,B02, with B99 unknown"):
        select(order, ("B99", "B02"))
