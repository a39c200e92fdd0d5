"""Common names of bands, from the items of a catalog to the indices of the model."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tifffile

from tests.pack.conftest import outputs
from tests.support.ingesting import ingest_into
from tilepipe.components.pack.config import PackConfig
from tilepipe.components.pack.merge import MergeInputs, merge
from tilepipe.components.pack.pack import pack
from tilepipe.components.prepare.networks.indices import find_indices
from tilepipe.components.prepare.weights.band_weights import colors_of
from tilepipe.components.shared.contracts.tile_table import read_tile_table_info
from tilepipe.components.shared.errors import BandError

TM = (("B1", "blue"), ("B2", "green"), ("B3", "red"), ("B4", "nir08"), ("B5", "swir16"), ("B7", "swir22"))
PLANET = (("band-1", "red"), ("band-2", "green"), ("band-3", "blue"), ("band-4", "nir"))
OLI = tuple((f"B{number}", "") for number in range(1, 9))
SENTINEL_2 = (("B02", "blue"), ("B03", "green"), ("B04", "red"), ("B08", "nir"), ("B11", "swir16"), ("B12", "swir22"))


def band_lists(bands, version):
    if version == "1.0":
        return {"eo:bands": [{"name": name} | ({"common_name": common} if common else {}) for name, common in bands]}
    return {"bands": [{"name": name} | ({"eo:common_name": common} if common else {}) for name, common in bands]}


def items_of(folder, bands, platform, version="1.0"):
    """Items of two classes, and their tiles, whose digital numbers are 100 times the number of the band, and noise."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for number in range(20):
        name = f"tile{number:02d}"
        means = 100 * np.arange(1, len(bands) + 1)[:, None, None]
        pixels = (means + rng.integers(0, 9, (len(bands), 8, 8))).astype("uint16")
        tifffile.imwrite(folder / f"{name}.tif", pixels, photometric="minisblack", planarconfig="separate")
        image = {"href": f"./{name}.tif", "type": "image/tiff", "roles": ["data"], **band_lists(bands, version)}
        yield {
            "type": "Feature",
            "stac_version": f"{version}.0",
            "id": name,
            "geometry": None,
            "links": [],
            "properties": {"datetime": "2020-06-01T10:00:00Z", "label": "ab"[number % 2], "platform": platform},
            "assets": {"image": image},
        }


def write_catalog(folder, items):
    for item in items:
        (folder / f"{item['id']}.json").write_text(json.dumps(item))
    links = [{"rel": "item", "href": f"./{path.name}"} for path in sorted(folder.glob("tile*.json"))]
    root = {"type": "Catalog", "stac_version": "1.0.0", "id": "x", "description": "x", "links": links}
    (folder / "catalog.json").write_text(json.dumps(root))
    return folder / "catalog.json"


def write_geoparquet(folder, items):
    rows = [
        {"id": item["id"], "label": item["properties"]["label"], "platform": item["properties"]["platform"]}
        | {"assets": item["assets"]}
        for item in items
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "items.parquet")
    return folder / "items.parquet"


def manifest_of(folder, source, **pack_parameters):
    ingest_into(folder, source=str(source))
    pack(PackConfig.parse(**pack_parameters), folder / "tiles.parquet", outputs(folder / "packed"))
    names = ("part.json", "contents.parquet", "part-q.parquet")
    inputs = MergeInputs(*([folder / "packed" / name] for name in names))
    return merge(inputs, folder / "manifest.json", folder / "q.parquet")


def ndvi(manifest, sensor="sentinel-2"):
    (index,) = find_indices(["NDVI"], manifest.bands, sensor, manifest.common_names, manifest.platform)
    return index.bands


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("write", [write_catalog, write_geoparquet])
@pytest.mark.parametrize("sensor", ["sentinel-2", "landsat-8"])
@pytest.mark.parametrize(
    ("bands", "platform", "expected"), [(TM, "landsat-5", ("B04", "B03")), (PLANET, "", ("band-4", "band-1"))]
)
def test_ndvi_is_of_the_bands_that_are_stated_to_be_near_infrared_and_red(
    tmp_path, version, write, sensor, bands, platform, expected
):
    source = write(tmp_path / "source", list(items_of(tmp_path / "source", bands, platform, version)))
    manifest = manifest_of(tmp_path, source)
    assert manifest.common_names == tuple(common for _, common in bands)
    assert manifest.platform == platform
    assert ndvi(manifest, sensor) == expected
    colors = dict(zip(colors_of(manifest.bands, (), manifest.common_names, manifest.platform), bands, strict=True))
    assert {color: colors[color][1] for color in ("red", "green", "blue")} == {c: c for c in ("red", "green", "blue")}


def test_common_names_follow_the_selected_bands(tmp_path):
    source = write_catalog(tmp_path / "source", items_of(tmp_path / "source", TM, "landsat-5"))
    manifest = manifest_of(tmp_path, source, bands=["B04", "B03"])
    assert manifest.common_names == ("nir08", "red")
    assert ndvi(manifest) == ("B04", "B03")


def test_common_names_of_assets_with_one_band_each(tmp_path):
    items = list(items_of(tmp_path / "source", PLANET[:2], ""))
    for item in items:
        image = item["assets"].pop("image")
        for place, key in enumerate(("x", "y")):
            item["assets"][key] = image | {"eo:bands": image["eo:bands"][place : place + 1]}
    for write in (write_catalog, write_geoparquet):
        source = write(tmp_path / "source", items)
        ingest_into(tmp_path, source=str(source), options={"band_assets": {"first": "x", "second": "y"}})
        assert read_tile_table_info(tmp_path / "tiles.parquet").common_names == ("red", "green")


@pytest.mark.parametrize("write", [write_catalog, write_geoparquet])
def test_numbers_of_another_platform_are_not_those_of_sentinel_2(tmp_path, write):
    source = write(tmp_path / "source", list(items_of(tmp_path / "source", OLI, "LANDSAT_8")))
    manifest = manifest_of(tmp_path, source)
    assert manifest.platform == "landsat-8"
    with pytest.raises(BandError, match=r"must be those of the platform\. Received: NDVI of B08 as nir .* landsat-8"):
        ndvi(manifest)
    assert ndvi(manifest, "landsat-8") == ("B05", "B04")


def test_tiles_of_sensors_that_number_bands_differently_are_not_mixed(tmp_path):
    items = list(items_of(tmp_path / "source", TM, "landsat-5"))
    for item in items[10:]:
        item["assets"]["image"]["eo:bands"][3]["common_name"] = "red"
    source = write_catalog(tmp_path / "source", items)
    with pytest.raises(BandError, match=r"B04 is nir08 in tile00, but red in tile10\. Select the tiles"):
        ingest_into(tmp_path, source=str(source))


def test_common_names_that_contradict_sentinel_2s_numbers_are_used_and_logged(tmp_path, caplog):
    bands = (*SENTINEL_2[:2], ("B04", "nir"), ("B08", "red"), *SENTINEL_2[4:])
    source = write_catalog(tmp_path / "source", items_of(tmp_path / "source", bands, "sentinel-2a"))
    manifest = manifest_of(tmp_path, source)
    with caplog.at_level("INFO"):
        assert ndvi(manifest) == ("B04", "B08")
    assert "NDVI takes B04, whose common name is nir, not B08" in caplog.text


def test_sources_without_common_names_write_neither_them_nor_the_platform(tmp_path):
    bands = tuple((name, "") for name, _ in SENTINEL_2)
    source = write_catalog(tmp_path / "source", items_of(tmp_path / "source", bands, "sentinel-2b"))
    manifest = manifest_of(tmp_path, source)
    written = json.loads((tmp_path / "manifest.json").read_text())
    part = json.loads((tmp_path / "packed" / "part.json").read_text())["common"]
    info = json.loads(pq.read_metadata(tmp_path / "tiles.parquet").metadata[b"tilepipe"])
    for stated in (written, part, info):
        assert not {"common_names", "platform", "left_out"} & set(stated)
    assert "nodata" not in info
    assert "allow_mixed_scaling" not in info["query"]["options"]
    assert ndvi(manifest) == ("B08", "B04")
