"""Items in one file, in a collection's GeoParquet, in parts of it, and in catalogs before STAC 1.0."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.ingest.conftest import edit_json, make_item
from tests.support.ingesting import ingest_into
from tests.support.tile_tables import read_tile_table
from tilepipe.components.ingest.config import IngestConfig
from tilepipe.components.ingest.sources.detect import open_source
from tilepipe.components.shared.errors import SourceError

ITEMS = [make_item(label, number) for label in ("Forest", "River") for number in range(10)]


def rows_of(source, **parameters):
    found = open_source(IngestConfig.parse(source=str(source), **parameters))
    return found, sorted(found.rows(), key=lambda row: row.tile_id)


def ingested(folder, source):
    ingest_into(folder, source=str(source))
    return read_tile_table(folder / "tiles.parquet")


@pytest.mark.parametrize("suffix", ["json", "geojson", "ndjson", "jsonl", "geojsonl", "list.json"])
def test_an_item_collection_or_items_as_lines(tmp_path, suffix):
    path = tmp_path / f"saved.{suffix}"
    if suffix in {"json", "geojson"}:
        path.write_text(json.dumps({"type": "FeatureCollection", "features": ITEMS}))
    elif suffix == "list.json":
        path = tmp_path / "saved.json"
        path.write_text(json.dumps(ITEMS))
    else:
        path.write_text("\n".join(map(json.dumps, ITEMS)) + "\n")
    source, rows = rows_of(path)
    assert (source.kind, source.name) == ("stac-catalog", "saved")
    assert [row.tile_id for row in rows] == sorted(item["id"] for item in ITEMS)
    assert rows[0].label == "Forest"
    assert rows[0].uri == str(tmp_path / "Forest_0.tif")


def test_an_item_collection_is_named_after_its_only_collection(tmp_path):
    features = [{**item, "collection": "tiles"} for item in ITEMS]
    (tmp_path / "x.json").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    assert rows_of(tmp_path / "x.json")[0].name == "tiles"


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (
            {"features": ITEMS, "links": [{"rel": "next", "href": "https://x.org/search?page=2"}]},
            "one page of a search",
        ),
        ({"features": [{"type": "Point"}]}, r"feature 0 of .*x\.json"),
        ({"features": {}}, "must be a list"),
        ({"features": [{"type": "Feature", "geometry": None, "properties": {}}]}, "must have an id"),
    ],
)
def test_collections_that_are_incomplete_or_hold_no_items(tmp_path, document, message):
    (tmp_path / "x.json").write_text(json.dumps({"type": "FeatureCollection", **document}))
    with pytest.raises(SourceError, match=message):
        rows_of(tmp_path / "x.json")


def test_a_catalog_of_stac_0_9_without_types_is_read(catalog):
    root = catalog()
    for path in root.parent.rglob("*.json"):

        def older(document):
            document["stac_version"] = "0.9.0"
            if document["type"] != "Feature":
                del document["type"]

        edit_json(path, older)
    source, rows = rows_of(root)
    assert (len(rows), source.name) == (18, "tiles-collection")


def test_older_catalogs_are_refused_by_version(catalog):
    root = catalog()
    edit_json(root, lambda document: document.update(stac_version="0.8.1"))
    with pytest.raises(SourceError, match=r"0\.9 or later\. Received: stac_version=0\.8\.1 in .*catalog\.json"):
        rows_of(root)


def table(items):
    columns = [{"id": item["id"], "class": item["properties"]["class"], "assets": item["assets"]} for item in items]
    return pa.Table.from_pylist(columns)


def write_mirror(folder, **assets):
    bands = [{"name": "B1", "common_name": "blue"}]
    collection = {"type": "Collection", "stac_version": "1.1.0", "id": "mirrored", "links": [], "assets": assets}
    (folder / "collection.json").write_text(json.dumps(collection | {"summaries": {"eo:bands": bands}}))
    return folder / "collection.json"


MIRROR = {"href": "./items/all.parquet", "type": "application/vnd.apache.parquet", "roles": ["collection-mirror"]}


def test_a_collection_whose_items_are_in_its_geoparquet(tmp_path):
    (tmp_path / "items").mkdir()
    pq.write_table(
        table(ITEMS).append_column("collection", pa.array(["mirrored"] * 20)), tmp_path / "items/all.parquet"
    )
    rows, info = ingested(tmp_path, write_mirror(tmp_path, items=MIRROR, other={"href": "./x.parquet"}))
    assert rows.num_rows == 20
    assert (info.name, info.source_kind, info.bands, info.common_names) == (
        "mirrored",
        "stac-geoparquet",
        ("B01",),
        ("blue",),
    )


def test_a_collection_with_several_geoparquets(tmp_path):
    root = write_mirror(tmp_path, a=MIRROR, b=MIRROR)
    with pytest.raises(SourceError, match=r"one GeoParquet asset with its items\. Received: a, b in "):
        open_source(IngestConfig.parse(source=str(root)))


@pytest.mark.parametrize(("folder", "home"), [("items.parquet", "."), ("items", "items")])
def test_a_geoparquet_in_parts(tmp_path, folder, home):
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "_SUCCESS").touch()
    for number in range(3):
        part = table(ITEMS[number::3])
        if number:  # parts need not have the same columns
            part = part.append_column("extra", pa.array([1] * part.num_rows))
        pq.write_table(part, tmp_path / folder / f"part-{number}.parquet")
    rows, info = ingested(tmp_path, tmp_path / folder)
    assert (rows.num_rows, info.source_kind, info.name) == (20, "stac-geoparquet", "items")
    assert rows["uri"][0].as_py() == str(tmp_path / home / "Forest_0.tif")


def test_a_geoparquet_in_parts_in_a_bucket(tmp_path, minio_server, monkeypatch):
    minio_server.use(monkeypatch)
    bucket = minio_server.make_bucket("parts")
    for number in range(3):
        pq.write_table(table(ITEMS[number::3]), tmp_path / "part.parquet")
        for folder in ("items.parquet", "items"):
            bucket.upload_file(str(tmp_path / "part.parquet"), f"{folder}/part-{number}.parquet")
    for folder, home in (("items.parquet", ""), ("items", "items/")):
        rows, info = ingested(tmp_path, f"s3://parts/{folder}")
        assert (rows.num_rows, info.source_kind) == (20, "stac-geoparquet")
        assert rows["uri"][0].as_py() == f"s3://parts/{home}Forest_0.tif"
