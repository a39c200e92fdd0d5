import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pystac
import pytest
import rasterio
import shapely
from rasterio.warp import transform_bounds
from stac_geoparquet.arrow import stac_table_to_items

from tilepipe.pipelines.cli.sample.sample_catalog import COLLECTION_ID
from tilepipe.pipelines.cli.sample.spectra import BANDS


@pytest.fixture(scope="module")
def moved(sample_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample after a move: everything that it states must still hold."""
    return Path(shutil.copytree(sample_folder, tmp_path_factory.mktemp("moved") / "sample"))


@pytest.fixture(scope="module")
def catalog(moved: Path) -> pystac.Catalog:
    return pystac.Catalog.from_file(str(moved / "catalog.json"))


def test_pystac_validates_everything_without_a_network(catalog: pystac.Catalog) -> None:
    assert catalog.validate_all() == 30


def test_there_is_one_collection_that_says_synthetic(catalog: pystac.Catalog) -> None:
    (collection,) = catalog.get_collections()
    assert collection.id == COLLECTION_ID == "tilepipe-synthetic-sample"
    assert "synthetic" in str(collection.title)
    assert "Synthetic" in collection.description
    assert "synthetic" in str(catalog.title)


def test_items_name_their_class_and_their_bands(catalog: pystac.Catalog) -> None:
    for item in catalog.get_items(recursive=True):
        assert item.properties["class"] == item.id.partition("_")[0]
        image = item.assets["image"]
        assert [band["name"] for band in image.extra_fields["bands"]] == list(BANDS)
        assert "Synthetic" in str(image.title)


def test_assets_are_the_tiles_and_footprints_enclose_them(catalog: pystac.Catalog) -> None:
    for item in catalog.get_items(recursive=True):
        footprint = shapely.geometry.shape(item.geometry)
        assert footprint.exterior.is_ccw
        assert footprint.bounds == tuple(item.bbox or ())
        with rasterio.open(item.assets["image"].get_absolute_href()) as source:
            expected = transform_bounds(source.crs, "EPSG:4326", *source.bounds)
        assert footprint.bounds == pytest.approx(expected, abs=1e-6)


def test_the_extent_is_that_of_the_items(catalog: pystac.Catalog) -> None:
    (collection,) = catalog.get_collections()
    extent = pystac.Extent.from_items(collection.get_items())
    assert collection.extent.to_dict() == extent.to_dict()


def test_the_table_holds_the_same_items(moved: Path, catalog: pystac.Catalog) -> None:
    rows = {item["id"]: item for item in stac_table_to_items(pq.read_table(moved / "items.parquet"))}
    items = {item.id: item for item in catalog.get_items(recursive=True)}
    assert list(rows) == list(items)
    for name, row in rows.items():
        # Links and hrefs start from the table's folder there, and from the item's here.
        image = row["assets"]["image"]
        assert (moved / image.pop("href")).samefile(items[name].assets["image"].get_absolute_href())
        expected = json.loads(Path(items[name].self_href).read_text())
        del expected["assets"]["image"]["href"], expected["links"], row["links"]
        expected["geometry"] = shapely.geometry.shape(expected["geometry"])
        row["geometry"] = shapely.geometry.shape(row["geometry"])
        moments = [pystac.utils.str_to_datetime(item["properties"].pop("datetime")) for item in (row, expected)]
        assert moments[0] == moments[1]
        assert row == expected


def test_the_collection_names_the_table(catalog: pystac.Catalog) -> None:
    (collection,) = catalog.get_collections()
    assert Path(str(collection.assets["items"].get_absolute_href())).is_file()
