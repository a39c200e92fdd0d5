"""What tiles state on their product, from items to the manifest."""

import json

import pytest

from tests.ingest.conftest import make_item
from tests.ingest.sources.stac.test_geoparquet import read, write
from tests.ingest.sources.stac.test_item import read as read_item
from tilepipe.components.ingest.stated_product import find_product
from tilepipe.components.shared.contracts.product import Product
from tilepipe.components.shared.runtime.database import open_database


def find(*statements, name="tiles"):
    with open_database() as connection:
        connection.execute("CREATE TABLE statements (stated_raster VARCHAR, stated_sensor VARCHAR)")
        for raster, sensor in statements:
            connection.execute("INSERT INTO statements VALUES (?, ?)", [raster, sensor])
        return find_product(connection, name)


PROPERTIES = {
    "platform": "Sentinel-2B",
    "constellation": "sentinel-2",
    "instruments": ["msi"],
    "processing:level": "Level-2A",
    "s2:processing_baseline": "05.09",
    "earthsearch:boa_offset_applied": True,
}
BANDS = [{"name": name, "unit": "reflectance", "scale": 0.0001, "offset": -0.1} for name in ("B02", "B03")]


def test_items_and_their_geoparquet_state_the_same(tmp_path):
    items = [make_item(number=number) for number in range(3)]
    for item in items:
        item["properties"].update(PROPERTIES)
        item["assets"]["image"]["bands"] = BANDS
    expected = Product(
        levels=("L2A",),
        platforms=("sentinel-2b",),
        instruments=("msi",),
        baselines=("05.09",),
        offset_applied=True,
        number_offset=-1000.0,
        units=("reflectance",),
    )
    rows = [read_item(item) for item in items]
    assert find(*((row.stated_raster, row.stated_sensor) for row in rows)) == expected
    _, columns = read(write(tmp_path / "x.parquet", items))
    assert find(*((row["stated_raster"], row["stated_sensor"]) for row in columns)) == expected


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ([{}, {}], {}),
        ([{"baseline": "02.08"}, {"baseline": "05.09", "offset_applied": True}], {"baselines": ("02.08", "05.09")}),
        ([{"offset_applied": "false"}], {"offset_applied": False}),
        ([{"offset": [-1000.0, -1000.0]}, {}], {}),
        ([{"offset": ["0.0", "-1000.0"]}], {}),
        ([{"offset": ["-1000", "-1000.0"]}], {"number_offset": -1000.0}),
        ([{"offset": [-0.1], "scale": [0.0001, 0.0001]}], {"number_offset": -1000.0}),
    ],
)
def test_statements_that_differ_are_listed_or_left_out(statements, expected):
    assert find(*((json.dumps(one), None) for one in statements)) == Product(**expected)


def test_a_harmonized_collection_has_no_offset_in_its_numbers():
    assert find((None, None), name="sentinel-2-l2a-harmonized").offset_applied is True
