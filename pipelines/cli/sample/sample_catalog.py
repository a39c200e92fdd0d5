"""The sample as a self-contained STAC catalog and as STAC-GeoParquet.

STAC 1.1 (https://github.com/radiantearth/stac-spec/tree/v1.1.0) without extensions: its core fields name the bands, and
pystac includes its schemas, so that the catalog can be validated without a network. The coordinate reference systems
of the items are in the GeoTIFFs.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tilepipe.pipelines.cli.sample.landscapes import CLASS_NAMES
from tilepipe.pipelines.cli.sample.sample_tile import PIXEL_METRES, SIDE_METRES, Tile
from tilepipe.pipelines.cli.sample.spectra import BANDS

COLLECTION_ID = "tilepipe-synthetic-sample"

CATALOG_FILE, COLLECTION_FILE, PARQUET_FILE = "catalog.json", "collection.json", "items.parquet"

_TITLE = "tilepipe's synthetic sample"
_DESCRIPTION = (
    "Synthetic tiles that resemble Sentinel-2 L1C: made by tilepipe from a seed, not taken by a satellite. Places and "
    "dates are made up. Classes, size and band order are EuroSAT's, and the surfaces' spectra are measured in it "
    "(Helber et al. 2019, https://doi.org/10.1109/JSTARS.2019.2918242)."
)
_VERSION = "1.1.0"
_GEOTIFF = "image/tiff; application=geotiff"
_JSON = "application/json"
_BANDS = [{"name": band} for band in BANDS]

# Seven digits are a centimetre; versions of PROJ may differ beyond them.
_DEGREE_DIGITS = 7

Json = dict[str, Any]
Ring = list[list[float]]


def write_items(folder: Path, tiles: Sequence[Tile]) -> None:
    """Write one JSON file per tile into its class' folder in `items`, which exists."""
    for tile, item in zip(tiles, _items(tiles, root="../../"), strict=True):
        _write_json(folder / _item_path(tile), item)


def write_catalog(folder: Path, tiles: Sequence[Tile]) -> None:
    """Write the catalog, its collection and the table of all items, in the order of the tiles."""
    from stac_geoparquet.arrow import parse_stac_items_to_arrow, to_parquet

    items = list(_items(tiles, root=""))
    to_parquet(parse_stac_items_to_arrow(items), folder / PARQUET_FILE)
    _write_json(folder / COLLECTION_FILE, _collection(tiles, items), indent=2)
    _write_json(folder / CATALOG_FILE, _catalog(), indent=2)


def _items(tiles: Sequence[Tile], *, root: str) -> Iterator[Json]:
    for tile, ring in zip(tiles, _footprints(tiles), strict=True):
        longitudes, latitudes = zip(*ring, strict=True)
        yield {
            "type": "Feature",
            "stac_version": _VERSION,
            "stac_extensions": [],
            "id": tile.tile_id,
            "collection": COLLECTION_ID,
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "bbox": [min(longitudes), min(latitudes), max(longitudes), max(latitudes)],
            "properties": {
                "datetime": tile.acquired,
                "class": tile.class_name,
                "description": "Synthetic, not taken by a satellite.",
                "platform": "synthetic",
                "gsd": PIXEL_METRES,
            },
            "links": [
                {"rel": "root", "href": f"{root}{CATALOG_FILE}", "type": _JSON},
                {"rel": "parent", "href": f"{root}{COLLECTION_FILE}", "type": _JSON},
                {"rel": "collection", "href": f"{root}{COLLECTION_FILE}", "type": _JSON},
            ],
            "assets": {"image": {"href": f"{root}{tile.path}", **_image()}},
        }


def _image() -> Json:
    return {
        "title": "Synthetic digital numbers",
        "type": _GEOTIFF,
        "roles": ["data"],
        "data_type": "uint16",
        "bands": _BANDS,
    }


def _collection(tiles: Sequence[Tile], items: Sequence[Json]) -> Json:
    west, south, east, north = zip(*(item["bbox"] for item in items), strict=True)
    moments = [item["properties"]["datetime"] for item in items]
    return {
        "type": "Collection",
        "stac_version": _VERSION,
        "stac_extensions": [],
        "id": COLLECTION_ID,
        "title": _TITLE,
        "description": _DESCRIPTION,
        "keywords": ["synthetic", "sample", "Sentinel-2", "EuroSAT"],
        "license": "Apache-2.0",
        "providers": [{"name": "tilepipe", "roles": ["producer"]}],
        "extent": {
            "spatial": {"bbox": [[min(west), min(south), max(east), max(north)]]},
            "temporal": {"interval": [[min(moments), max(moments)]]},
        },
        "summaries": {"class": list(CLASS_NAMES), "platform": ["synthetic"], "gsd": [PIXEL_METRES]},
        "item_assets": {"image": _image()},
        "assets": {
            # https://github.com/stac-utils/stac-geoparquet/blob/main/spec/stac-geoparquet-spec.md
            "items": {
                "href": PARQUET_FILE,
                "title": "All items as STAC-GeoParquet",
                "type": "application/vnd.apache.parquet",
                "roles": ["collection-mirror"],
            }
        },
        "links": [
            {"rel": "root", "href": CATALOG_FILE, "type": _JSON},
            {"rel": "parent", "href": CATALOG_FILE, "type": _JSON},
            *({"rel": "item", "href": _item_path(tile), "type": "application/geo+json"} for tile in tiles),
        ],
    }


def _catalog() -> Json:
    return {
        "type": "Catalog",
        "stac_version": _VERSION,
        "stac_extensions": [],
        "id": f"{COLLECTION_ID}-catalog",
        "title": _TITLE,
        "description": _DESCRIPTION,
        "links": [
            {"rel": "root", "href": CATALOG_FILE, "type": _JSON},
            {"rel": "child", "href": COLLECTION_FILE, "type": _JSON, "title": _TITLE},
        ],
    }


def _item_path(tile: Tile) -> str:
    return f"items/{tile.class_name}/{tile.tile_id}.json"


def _footprints(tiles: Sequence[Tile]) -> list[Ring]:
    """Compute closed outlines in longitude and latitude, counterclockwise from the lower left corner."""
    from rasterio.warp import transform

    zones: dict[int, list[int]] = defaultdict(list)
    for index, tile in enumerate(tiles):
        zones[tile.epsg].append(index)
    rings: list[Ring] = [[] for _ in tiles]
    for epsg, members in zones.items():
        west = [tiles[index].west_metres for index in members]
        north = [tiles[index].north_metres for index in members]
        for right, up in ((0, 0), (1, 0), (1, 1), (0, 1), (0, 0)):
            eastings = [metres + right * SIDE_METRES for metres in west]
            northings = [metres - (1 - up) * SIDE_METRES for metres in north]
            degrees = zip(*transform(f"EPSG:{epsg}", "EPSG:4326", eastings, northings), strict=True)
            for index, corner in zip(members, degrees, strict=True):
                rings[index].append([round(degree, _DEGREE_DIGITS) for degree in corner])
    return rings


def _write_json(path: Path, content: Json, indent: int | None = None) -> None:
    path.write_text(json.dumps(content, indent=indent) + "\n")
