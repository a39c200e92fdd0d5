import datetime as dt
import json

import pytest

from tests.support.ingesting import ingest_into
from tests.support.s3_stores import minio_server, s3_server, s3_servers
from tests.support.tile_tables import read_tile_table

__all__ = ["minio_server", "s3_server", "s3_servers"]

CLASSES = ("Forest", "River", "SeaLake")
BANDS = ("B02", "B03", "B04", "B08")


@pytest.fixture
def run(tmp_path):
    """Function that ingests a source and returns its tile table and the metadata of the table."""

    def ingested(source, **parameters):
        ingest_into(tmp_path / "out", source=str(source), **parameters)
        return read_tile_table(tmp_path / "out" / "tiles.parquet")

    return ingested


@pytest.fixture
def class_folders(tmp_path):
    """Function that writes a folder of class folders; ingest never opens the images, so they hold arbitrary bytes."""

    def write(classes=CLASSES, count=6, suffix=".jpg", root="tiles"):
        for name in classes:
            for number in range(count):
                path = tmp_path / root / name / f"{name}_{number}{suffix}"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"x" * (number + 1))
        return tmp_path / root

    return write


def make_item(label="Forest", number=0, **changes):
    """Build a STAC item with the label extension, as a dictionary."""
    x = 10 + number / 100
    item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": f"{label}_{number}",
        "bbox": [x, 50.0, x + 0.01, 50.01],
        "geometry": {
            "type": "Polygon",
            "coordinates": [[[x, 50.0], [x + 0.01, 50.0], [x + 0.01, 50.01], [x, 50.01], [x, 50.0]]],
        },
        "properties": {"datetime": "2020-06-01T12:00:00Z", "class": label, "ml-aoi:split": "train"},
        "assets": {
            "image": {
                "href": f"./{label}_{number}.tif",
                "type": "image/tiff; application=geotiff",
                "roles": ["data"],
                "file:size": 1000 + number,
            },
            "thumbnail": {"href": f"./{label}_{number}.png", "type": "image/png", "roles": ["thumbnail"]},
        },
        "links": [],
    }
    item.update(changes)
    return item


SPLIT_NAMES = ("train", "train", "train", "validate", "test", "train")


@pytest.fixture
def catalog(tmp_path):
    """Function that writes a static catalog with pystac and returns the address of its root."""

    def write(classes=CLASSES, count=6, *, change=None, root="stac", bands=BANDS):
        from pystac import Asset, Catalog, CatalogType, Collection, Extent, Item, SpatialExtent, TemporalExtent

        catalog = Catalog("tiles-catalog", "tiles for a test")
        time = dt.datetime(2020, 6, 1, tzinfo=dt.UTC)
        extent = Extent(SpatialExtent([[-180.0, -90.0, 180.0, 90.0]]), TemporalExtent([[time, None]]))
        collection = Collection("tiles-collection", "tiles for a test", extent)
        collection.summaries.add("eo:bands", [{"name": name} for name in bands])
        catalog.add_child(collection)
        for label in classes:
            for number in range(count):
                plain = make_item(label, number)
                plain["properties"]["ml-aoi:split"] = SPLIT_NAMES[number % len(SPLIT_NAMES)]
                if change:
                    change(plain)
                item = Item(plain["id"], plain["geometry"], plain["bbox"], time, plain["properties"])
                for key, asset in plain["assets"].items():
                    item.add_asset(key, Asset.from_dict(asset))
                collection.add_item(item)
        catalog.normalize_and_save(str(tmp_path / root), CatalogType.SELF_CONTAINED)
        return tmp_path / root / "catalog.json"

    return write


def edit_json(path, change):
    """Change a JSON file in place."""
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
