import json

import pytest

from tests.ingest.conftest import make_item
from tests.ingest.sources.stac.test_geoparquet import read, write
from tests.ingest.sources.stac.test_item import read as read_item


def item_with(number=0, properties=None, **asset):
    item = make_item(number=number)
    item["assets"]["image"].update(asset)
    item["properties"].update(properties or {})
    return item


def stated(**values):
    return json.dumps(values, sort_keys=True)


@pytest.mark.parametrize(
    ("asset", "expected"),
    [
        ({}, None),
        ({"raster:bands": [{"nodata": 0}] * 2}, {"nodata": [0, 0]}),
        ({"raster:bands": [{"nodata": "nan"}, {}]}, {"nodata": ["nan", None]}),
        ({"bands": [{"name": "B02", "nodata": 0}, {"name": "B03", "nodata": 1}]}, {"nodata": [0, 1]}),
        ({"bands": [{"name": "B02"}, {"name": "B03", "nodata": 1}], "nodata": 7}, {"nodata": [7, 1]}),
        ({"nodata": 0}, {"nodata": [0]}),
        ({"bands": [{"raster:scale": 0.1, "raster:offset": -1}]}, {"scale": [0.1], "offset": [-1]}),
        ({"raster:bands": [{"scale": 0.1, "offset": 0}]}, {"scale": [0.1], "offset": [0]}),
        ({"bands": [{"name": "B02"}]}, None),
    ],
)
def test_what_items_state_on_their_pixels(asset, expected):
    row = read_item(item_with(**asset))
    assert row.stated_raster == (stated(**expected) if expected else None)


def test_the_template_of_the_collection_holds_where_the_item_is_silent():
    collection = {"item_assets": {"image": {"raster:bands": [{"nodata": 3}]}}}
    assert read_item(item_with(), collection).stated_raster == stated(nodata=[3])
    assert read_item(item_with(nodata=5), collection).stated_raster == stated(nodata=[5])


def test_the_processing_baseline():
    row = read_item(item_with(properties={"s2:processing_baseline": "05.09", "earthsearch:boa_offset_applied": True}))
    assert row.stated_raster == stated(baseline="05.09", offset_applied=True)


@pytest.mark.parametrize(
    "asset",
    [
        {"raster:bands": [{"nodata": 0.0, "scale": 0.1, "offset": 0.0}, {"nodata": 1.0, "scale": 0.1, "offset": 0.0}]},
        {"bands": [{"name": "B02", "nodata": 0.0}, {"name": "B03", "nodata": 0.0}]},
        {"nodata": 7.0},
    ],
)
def test_geoparquet_states_what_its_items_state(tmp_path, asset):
    items = [item_with(number, {"s2:processing_baseline": "05.09"}, **asset) for number in range(3)]
    _, rows = read(write(tmp_path / "x.parquet", items))
    [text] = {row["stated_raster"] for row in rows}
    found, expected = json.loads(text), json.loads(read_item(items[0]).stated_raster)
    assert found.pop("baseline") == expected.pop("baseline") == "05.09"
    assert {key: [float(value) for value in values] for key, values in found.items()} == expected


def test_each_file_of_a_band_keeps_its_place(tmp_path):
    items = [make_item(number=number) for number in range(2)]
    for item in items:
        image = item["assets"]["image"]
        item["assets"] |= {"a": image, "b": {**image, "raster:bands": [{"nodata": 5.0}]}, "c": image}
    assets = {"B02": "a", "B03": "b", "B04": "c"}
    _, rows = read(write(tmp_path / "x.parquet", items), options={"band_assets": assets})
    [text] = {row["stated_raster"] for row in rows}
    [none, stated_one, last] = json.loads(text)["nodata"]
    assert (none, float(stated_one), last) == (None, 5, None)
    row = read_item(items[0], band_assets=assets)
    assert json.loads(row.stated_raster) == {"nodata": [None, 5, None]}
