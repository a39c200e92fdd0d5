import datetime as dt

import pytest
import shapely

from tests.ingest.conftest import make_item
from tilepipe.components.ingest.config import Columns, IngestConfig
from tilepipe.components.ingest.sources.hrefs import HrefResolver
from tilepipe.components.ingest.sources.stac.item import ItemReader
from tilepipe.components.shared.errors import SourceError


def read(item, collection=None, **options):
    reader = ItemReader(HrefResolver("/data", {}), **options)
    return reader.row(item, folder="/data/items", where="items.json", collection=collection)


def test_a_whole_item():
    item = make_item("River", 3)
    item["assets"]["image"]["file:checksum"] = "1220AB"
    row = read(item, split_property="ml-aoi:split")
    assert (row.tile_id, row.uri, row.label) == ("River_3", "/data/items/River_3.tif", "River")
    assert (row.split, row.bytes, row.checksum, row.bands) == ("train", 1003, "1220ab", ())
    assert row.datetime == dt.datetime(2020, 6, 1, 12, tzinfo=dt.UTC)
    assert row.bbox == (10.03, 50.0, 10.04, 50.01)
    assert shapely.from_wkb(row.geometry).bounds == pytest.approx(row.bbox)


def asset(kind, roles=None, **more):
    return {"href": "./x.tif", **({"type": kind} if kind else {}), **({"roles": roles} if roles else {}), **more}


@pytest.mark.parametrize(
    ("assets", "expected"),
    [
        ({"a": asset("application/geo+json", ["data"]), "b": asset("image/tiff", ["data"])}, "b"),
        ({"a": asset("image/png", ["data"]), "b": asset("image/tiff; application=geotiff", ["data"])}, "b"),
        ({"a": asset("image/jpeg", ["data"]), "b": asset("image/png", ["thumbnail"])}, "a"),
        ({"a": asset("image/jpeg"), "b": asset("image/png", ["overview", "visual"])}, "a"),
        ({"a": asset(None), "b": asset("text/html")}, "a"),
        ({"a": asset("image/vnd.stac.geotiff", ["data"]), "b": asset("image/png", ["data", "visual"])}, "a"),
    ],
)
def test_the_asset_is_found(assets, expected):
    item = make_item(assets={key: {**value, "href": f"./{key}.tif"} for key, value in assets.items()})
    assert read(item).uri == f"/data/items/{expected}.tif"


def test_asset_key_selects_the_asset():
    item = make_item(assets={"a": asset("image/tiff", ["data"]), "b": asset("image/tiff", ["data"], href="./b.tif")})
    assert read(item, asset_key="b").uri == "/data/items/b.tif"
    with pytest.raises(SourceError, match=r"Received: a, b in .*data_options=.*asset_key"):
        read(item)
    with pytest.raises(SourceError, match=r"asset_key='c'.* has a, b\."):
        read(item, asset_key="c")
    with pytest.raises(SourceError, match="must have an asset with the tile's pixels"):
        read(make_item(assets={"a": asset("text/html")}))


def overviews(*names):
    return {"label:overviews": [{"property_key": "class", "counts": [{"name": n, "count": c} for n, c in names]}]}


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"class": "Forest", "label": "x"}, "Forest"),
        ({"label": " Forest "}, "Forest"),
        ({"class": 3}, "3"),
        ({"class": 3.0}, "3"),
        (overviews(("Forest", 1)), "Forest"),
        (overviews(("Forest", 4096), ("River", 0)), "Forest"),
    ],
)
def test_the_label_is_found(properties, expected):
    assert read(make_item(properties=properties)).label == expected


@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"class": None},
        {"class": ["Forest"]},
        {"class": ""},
        overviews(("Forest", 1), ("River", 1)),
        overviews(),
        {"label:overviews": "Forest"},
        {"label:overviews": [{"counts": ["Forest"]}]},
    ],
)
def test_no_label_or_several(properties):
    with pytest.raises(SourceError, match=r"data_columns=.*label"):
        read(make_item(properties=properties))


def test_a_list_of_labels_is_shown():
    with pytest.raises(SourceError, match=r"Received: the list class=\['Forest', 'River'\]"):
        read(make_item(properties={"class": ["Forest", "River"]}))


def test_the_label_column_selects_the_label():
    item = make_item(properties={"class": "x", "cover": "Forest"})
    assert read(item, columns=Columns(label="cover")).label == "Forest"
    with pytest.raises(SourceError, match=r"data_columns.label='kind'.*properties class, cover\."):
        read(item, columns=Columns(label="kind"))


NAMED = [{"name": "B2"}, {"name": "B8a"}]
NUMBERED = [{"name": "b1", "description": "B08"}, {"name": "b2", "description": "B04"}]
"""As rio-stac writes them: places in the file, which are not Sentinel-2's bands."""
OTHER = [{"name": "B03"}, {"name": "B04"}]


@pytest.mark.parametrize(
    ("in_asset", "in_item", "collection", "expected"),
    [
        ({"bands": NAMED}, {"eo:bands": OTHER}, None, ("B02", "B8A")),
        ({"eo:bands": NAMED}, {}, {"summaries": {"eo:bands": OTHER}}, ("B02", "B8A")),
        ({"bands": [{"data_type": "uint16"}] * 2}, {"eo:bands": NAMED}, None, ("B02", "B8A")),
        ({}, {"bands": NAMED}, {"summaries": {"bands": OTHER}}, ("B02", "B8A")),
        ({}, {}, {"summaries": {"bands": NAMED}}, ("B02", "B8A")),
        ({}, {}, {"bands": NAMED}, ("B02", "B8A")),
        ({}, {}, {"item_assets": {"image": {"eo:bands": NAMED}}, "summaries": {"bands": OTHER}}, ("B02", "B8A")),
        ({"eo:bands": [{"common_name": "red"}, {"eo:common_name": "nir"}]}, {}, None, ("red", "nir")),
        ({"bands": NUMBERED}, {}, None, ()),
        ({"eo:bands": NUMBERED}, {}, {"item_assets": {"image": {"eo:bands": NAMED}}}, ("B02", "B8A")),
        ({"bands": [{"name": "b1", "eo:common_name": "red"}, {"name": "b2"}]}, {}, None, ("B01", "B02")),
        ({"bands": "B02", "eo:bands": [3]}, {}, {"summaries": None}, ()),
    ],
)
def test_where_bands_are_stated(in_asset, in_item, collection, expected):
    item = make_item()
    item["assets"]["image"].update(in_asset)
    item["properties"].update(in_item)
    assert read(item, collection).bands == expected


def test_a_box_with_heights():
    assert read(make_item(bbox=[1, 2, 0, 3, 4, 9])).bbox == (1, 2, 3, 4)
    assert read(make_item(bbox=None, geometry=None)).bbox is None


@pytest.mark.parametrize(("stated", "label"), [(7, "7"), (7.0, "7"), (1.5, "1.5"), (True, "true"), (" x ", "x")])
def test_labels_of_any_scalar_are_text_as_in_geoparquet(stated, label):
    item = make_item()
    item["properties"]["class"] = stated
    assert read(item).label == label


@pytest.mark.parametrize("stated", [float("nan"), float("inf"), None, " ", ["x"]])
def test_no_label(stated):
    item = make_item()
    item["properties"]["class"] = stated
    with pytest.raises(SourceError, match="must have one label"):
        read(item)


@pytest.mark.parametrize(
    "changes",
    [
        {"id": None},
        {"id": ""},
        {"properties": None},
        {"properties": []},
        {"assets": "x"},
        {"assets": {}},
        {"bbox": [1, 2]},
        {"bbox": ["a", 2, 3, 4]},
        {"geometry": {"type": "Blob"}},
        {"geometry": {"type": "Polygon", "coordinates": [[1]]}},
        {"geometry": [1]},
        {"properties": {"class": "x", "datetime": "yesterday"}},
        {"assets": {"image": asset("image/tiff", ["data"], href=None)}},
        {"assets": {"image": asset("image/tiff", ["data"], **{"file:size": "big"})}},
        {"assets": {"image": asset("image/tiff", ["data"], **{"file:checksum": "xyz"})}},
        {"bbox": [float("nan"), 50.0, 10.0, 50.1]},
        {"bbox": [10**400, 50.0, 10.0, 50.1]},
        {"geometry": {"type": "Point", "coordinates": [float("inf"), 50.0]}},
        {"geometry": {"type": "Point", "coordinates": [10**400, 50.0]}},
        {"properties": {"class": "Forest", "datetime": "0001-01-01T00:00:00+14:00"}},
        {"assets": {"image": {"href": "./a.tif", "type": "image/tiff", "file:size": float("inf")}}},
        {"assets": {"image": {"href": "./a.tif", "type": "image/tiff", "file:size": 2**63}}},
    ],
)
def test_malformed_items_are_one_clear_error(changes):
    with pytest.raises(SourceError, match=r"items\.json"):
        read(make_item(**changes))


def test_group_and_time_are_the_properties_that_are_named():
    item = make_item()
    item["properties"].update(scene=7, seen="2019-02-03T04:05:06+02:00", site=["a"])
    row = read(item, columns=Columns(group="scene", datetime="seen"))
    assert (row.group, row.datetime) == ("7", dt.datetime(2019, 2, 3, 2, 5, 6, tzinfo=dt.UTC))
    row = read(item, columns=Columns(group="absent", datetime="absent"))
    assert (row.group, row.datetime) == (None, None)
    with pytest.raises(SourceError, match=r"property site must be a string.*\['a'\] in item Forest_0"):
        read(item, columns=Columns(group="site"))
    with pytest.raises(SourceError, match=r"must be RFC 3339.*7"):
        read(item, columns=Columns(datetime="scene"))


def test_what_where_mentions_is_carried_along_if_it_is_a_scalar():
    item = make_item(collection="c")
    item["properties"].update(cloud=1.5, day=True, site=["a"], none=None)
    wanted = frozenset({"cloud", "day", "site", "none", "absent", "collection"})
    assert read(item, wanted=wanted).properties == {"cloud": 1.5, "day": True, "collection": "c"}
    assert read(item).properties == {}


def test_a_file_a_band():
    item = make_item(assets={key: asset("image/tiff", ["data"], href=f"./{key}.tif") for key in ("red", "nir", "blue")})
    item["assets"]["red"].update({"file:size": 9, "file:checksum": "1220ab"})
    row = read(item, band_assets={"B08": "nir", "B04": "red"})
    assert row.bands == ("B08", "B04")
    assert row.band_uris == ("/data/items/nir.tif", "/data/items/red.tif")
    assert (row.uri, row.bytes, row.checksum) == ("/data/items/nir.tif", None, None)
    with pytest.raises(SourceError, match=r"options.band_assets must be in every item.* has .*, without swir\."):
        read(item, band_assets={"B11": "swir", "B04": "red"})
    assert read(item, asset_key="red").band_uris is None


def test_what_the_parameters_ask_for():
    config = IngestConfig.parse(
        source="x", columns={"label": "cover"}, split_property="part", options={"asset_key": "b", "band_assets": {}}
    )
    resolver = HrefResolver("/data", {})
    reader = ItemReader.of(config, resolver, frozenset({"cloud"}))
    assert reader == ItemReader(resolver, "b", config.columns, "part", {}, frozenset({"cloud"}))
