import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.ingest.conftest import make_item
from tests.support.ingesting import ingest_into
from tilepipe.components.ingest.config import IngestConfig
from tilepipe.components.ingest.sources.hrefs import HrefResolver
from tilepipe.components.ingest.sources.source_view import COLUMNS
from tilepipe.components.ingest.sources.stac.catalog import StacCatalog
from tilepipe.components.ingest.sources.stac.geoparquet import StacGeoParquet
from tilepipe.components.shared.contracts.bands import canonical_band
from tilepipe.components.shared.contracts.tile_table import read_tile_table_info
from tilepipe.components.shared.errors import SourceError, StorageError
from tilepipe.components.shared.runtime.database import lock, open_database, quoted
from tilepipe.components.shared.storage import storage

BANDS = [{"name": "B2", "common_name": "blue"}, {"name": "B8A", "common_name": "nir08"}]


def write(path, items):
    """Written by the reference implementation."""
    import stac_geoparquet.arrow

    table = pa.Table.from_batches(stac_geoparquet.arrow.parse_stac_items_to_arrow(items))
    stac_geoparquet.arrow.to_parquet(table, path)
    return path


def read(path, **parameters):
    """The source, and its tiles as dictionaries, in the order of the file."""
    source = StacGeoParquet(str(path), IngestConfig.parse(source=str(path), **parameters))
    with open_database() as connection:
        with source.found(connection) as files:
            lock(connection, files)
            columns = ", ".join(map(quoted, COLUMNS))
            connection.execute(f"CREATE TABLE chosen AS SELECT {columns} FROM found")
        source.resolve_addresses(connection)
        return source, connection.sql("SELECT * FROM chosen ORDER BY rowid").to_arrow_table().to_pylist()


@pytest.fixture
def items():
    items = [make_item(label, number) for label in ("Forest", "River") for number in range(3)]
    for item in items:
        item["collection"] = "tiles-collection"
        item["assets"]["image"]["eo:bands"] = BANDS
        item["assets"]["image"]["raster:bands"] = [{"nodata": 0, "data_type": "uint16"}] * 2
    return items


def test_a_file_that_stac_geoparquet_wrote(items, tmp_path):
    source, rows = read(write(tmp_path / "items.parquet", items), split_property="ml-aoi:split")
    assert source.name == "tiles-collection"
    assert [row["tile_id"] for row in rows] == [item["id"] for item in items]
    row = rows[0]
    assert row["uri"] == str(tmp_path / "Forest_0.tif")
    assert (row["label"], row["split"], row["bytes"], row["bands"]) == ("Forest", "train", 1000, ["B2", "B8A"])
    assert row["bbox"] == {"xmin": 10.0, "ymin": 50.0, "xmax": 10.01, "ymax": 50.01}
    assert row["datetime"].isoformat() == "2020-06-01T12:00:00+00:00"


def test_it_gives_the_rows_that_the_items_give(items, tmp_path, catalog):
    from tilepipe.components.ingest.sources.stac.item import ItemReader

    _, rows = read(write(tmp_path / "items.parquet", items))
    reader = ItemReader(HrefResolver(str(tmp_path), {}))
    for found, item in zip(rows, items, strict=True):
        row = reader.row(item, folder=str(tmp_path), where="")
        assert tuple(found["bbox"].values()) == row.bbox
        assert tuple(canonical_band(name) for name in found["bands"]) == row.bands
        for name in ("tile_id", "uri", "member", "offset", "label", "split", "group", "datetime", "bytes", "checksum"):
            assert found[name] == getattr(row, name)
        assert found["geometry"] == row.geometry


def test_items_with_other_assets_and_properties(items, tmp_path):
    del items[0]["assets"]["thumbnail"]
    items[1]["assets"]["image"].pop("file:size")
    items[2]["properties"] = {"datetime": "2020-06-01T12:00:00Z", "cover": "Lake"} | {"label": "Lake"}
    _, rows = read(write(tmp_path / "items.parquet", items))
    assert [row["label"] for row in rows[:3]] == ["Forest", "Forest", "Lake"]
    assert rows[1]["bytes"] is None


def test_a_label_of_ones_own(items, tmp_path):
    for item in items:
        item["properties"] = {"datetime": "2020-06-01T12:00:00Z", 'my cover\'s "name"': 7}
    path = write(tmp_path / "items.parquet", items)
    assert read(path, columns={"label": 'my cover\'s "name"'})[1][0]["label"] == "7"
    assert read(path)[1][0]["label"] is None
    with pytest.raises(
        SourceError, match=r"The column of data_columns.label must be in the file.*data_columns.label='cover'"
    ):
        read(path, columns={"label": "cover"})


def test_label_overviews(items, tmp_path):
    for item in items:
        overview = {"property_key": "class", "counts": [{"name": item["properties"].pop("class"), "count": 1}]}
        item["properties"]["label:overviews"] = [overview]
    assert {row["label"] for row in read(write(tmp_path / "items.parquet", items))[1]} == {"Forest", "River"}


def test_bands_of_the_collection_in_the_files_metadata(items, tmp_path):
    for item in items:
        del item["assets"]["image"]["eo:bands"]
    path = write(tmp_path / "items.parquet", items)
    table = pq.read_table(path)
    collections = {"tiles-collection": {"id": "tiles-collection", "summaries": {"bands": BANDS}}}
    stated = json.dumps({"version": "1.1.0", "collections": collections}).encode()
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"stac-geoparquet": stated}), path)
    assert read(path)[1][0]["bands"] == ["B02", "B8A"]


@pytest.mark.parametrize("stated_in", ["file", "mirrored collection"])
@pytest.mark.parametrize("one_per_band", [False, True])
def test_item_assets_of_the_collection_count_as_in_a_catalog(items, tmp_path, stated_in, one_per_band):
    for item in items:
        del item["assets"]["image"]["eo:bands"]
        item["assets"]["image"]["raster:bands"] = [{"data_type": "uint16"}] * 2
        item["assets"]["other"] = {**item["assets"]["image"], "href": "./other.tif", "raster:bands": [{"nodata": 9}]}
        item["assets"]["other"]["roles"] = ["overview"]
    bands = [{"name": "B2", "nodata": 0, "raster:scale": 1e-4}, {"name": "B8A", "raster:scale": 2e-4, "nodata": "nan"}]
    template = {"image": {"bands": bands[:1] if one_per_band else bands}, "other": {"unit": "K"}}
    collection = {"type": "Collection", "id": "tiles-collection", "item_assets": template, "links": []}
    options = {"options": {"band_assets": {"B02": "image", "B8A": "other"}}} if one_per_band else {}
    path = write(tmp_path / "items.parquet", items)
    if stated_in == "file":
        table = pq.read_table(path)
        stated = json.dumps({"version": "1.1.0", "collections": {"tiles-collection": collection}}).encode()
        pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"stac-geoparquet": stated}), path)
        row = read(path, **options)[1][0]
    else:
        source = StacGeoParquet(str(path), IngestConfig.parse(source=str(path), **options), collection)
        with open_database() as connection, source.found(connection):
            columns = connection.sql("SELECT bands, stated_raster FROM found LIMIT 1")
            row = dict(zip(columns.columns, columns.fetchall()[0], strict=True))
    assert [canonical_band(name) for name in row["bands"]] == ["B02", "B8A"]
    found = {name: values for name, values in json.loads(row["stated_raster"]).items() if any(values)}
    if one_per_band:
        assert found == {"nodata": ["0", "9"], "scale": ["0.0001", None], "unit": [None, "K"]}
    else:
        assert found == {"nodata": ["0", "nan"], "scale": ["0.0001", "0.0002"]}


def test_names_that_duckdb_would_take_as_patterns(items, tmp_path):
    folder = tmp_path / "set [1]*?"
    folder.mkdir()
    _, rows = read(write(folder / "items.parquet", items))
    assert rows[0]["uri"] == str(folder / "Forest_0.tif")


def test_hrefs_are_rewritten_and_held_in(items, tmp_path):
    for item in items:
        item["assets"]["image"]["href"] = f"https://example.org/{item['id']}.tif"
    path = write(tmp_path / "items.parquet", items)
    with pytest.raises(SourceError, match="href_rewrite"):
        read(path)
    assert read(path, href_rewrite={"https://example.org/": "/tiles/"})[1][0]["uri"] == "/tiles/Forest_0.tif"
    items[0]["assets"]["image"]["href"] = "../../etc/passwd"
    with pytest.raises(SourceError, match=r"must be below .*href=../../etc/passwd in item Forest_0 "):
        read(write(path, items), href_rewrite={"https://example.org/": "/tiles/"})


def test_hrefs_of_dropped_tiles_do_not_matter(tmp_path):
    items = [make_item(label, number) for label in ("Crop", "Forest", "River") for number in range(10)]
    items[0]["assets"]["image"]["href"] = "../../etc/passwd"
    source = str(write(tmp_path / "items.parquet", items))
    with pytest.raises(SourceError, match="in item Crop_0 "):
        ingest_into(tmp_path, source=source)
    ingest_into(tmp_path, source=source, recode={"Crop": ""})
    rows = pq.read_table(tmp_path / "tiles.parquet").to_pylist()
    assert {row["uri"] for row in rows} == {str(tmp_path / f"{item['id']}.tif") for item in items[10:]}


def test_hrefs_that_normalization_changes(items, tmp_path):
    hrefs = ["a/../x.tif", "./a/.././x.tif", "b//x.tif", "x y.tif", "x.tif", f"file://{tmp_path}/x.tif"]
    for item, href in zip(items, hrefs, strict=True):
        item["assets"]["image"]["href"] = href
    _, rows = read(write(tmp_path / "items.parquet", items))
    resolver = HrefResolver(str(tmp_path), {})
    assert [row["uri"] for row in rows] == [resolver.resolve(href, str(tmp_path), "items") for href in hrefs]


def test_bands_of_which_one_has_no_name_are_not_stated(items, tmp_path):
    for item in items:
        item["assets"]["image"]["eo:bands"] = [{"name": "B2", "common_name": "Blue"}, {"description": "no name"}]
    ingest_into(tmp_path, source=str(write(tmp_path / "items.parquet", items)), split_property="ml-aoi:split")
    info = read_tile_table_info(tmp_path / "tiles.parquet")
    assert (info.bands, info.common_names) == ((), ())


@pytest.mark.parametrize(("common", "expected"), [({}, ()), ({"common_name": "red"}, ("B01", "B02"))])
def test_numbers_of_bands_are_no_names(items, tmp_path, common, expected):
    for item in items:
        item["assets"]["image"]["eo:bands"] = [{"name": "b1", **common}, {"name": "b2", "description": "B08"}]
    ingest_into(tmp_path, source=str(write(tmp_path / "items.parquet", items)), split_property="ml-aoi:split")
    assert read_tile_table_info(tmp_path / "tiles.parquet").bands == expected


def test_names_of_the_collection_replace_numbers_of_bands(items, tmp_path):
    for item in items:
        item["assets"]["image"]["eo:bands"] = [{"name": "b1"}, {"name": "b2"}]
    table = pq.read_table(write(tmp_path / "items.parquet", items))
    collections = {"tiles-collection": {"id": "tiles-collection", "item_assets": {"image": {"bands": BANDS}}}}
    stated = {b"stac-geoparquet": json.dumps({"collections": collections}).encode()}
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, **stated}), tmp_path / "items.parquet")
    ingest_into(tmp_path, source=str(tmp_path / "items.parquet"), split_property="ml-aoi:split")
    info = read_tile_table_info(tmp_path / "tiles.parquet")
    assert (info.bands, info.common_names) == (("B02", "B8A"), ("blue", "nir08"))


def with_geometries(table, path, column, encoding, name="geometry"):
    """The table with another geometry column."""
    place = table.schema.get_field_index("geometry")
    stated = {"encoding": encoding, "geometry_types": []}
    geo = {"version": "1.1.0", "primary_column": name, "columns": {name: stated}}
    table = table.set_column(place, name, column).replace_schema_metadata({b"geo": json.dumps(geo).encode()})
    pq.write_table(table, path)
    return path


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("point", "POINT (10.1 50.333333333333336)"),
        ("point", "POINT Z (10.1 50 7)"),
        ("linestring", "LINESTRING (10 50, 11 51.7)"),
        ("multipoint", "MULTIPOINT ((10 50), (11 51))"),
        ("polygon", "POLYGON ((0 0, 9 0, 9 9, 0 0), (2 1, 3 1, 3 2, 2 1))"),
        ("multilinestring", "MULTILINESTRING ((10 50, 11 51), (0 0, 1 1))"),
        ("multipolygon", "MULTIPOLYGON (((0 0, 9 0, 9 9, 0 0), (2 1, 3 1, 3 2, 2 1)), ((20 0, 21 0, 21 1, 20 0)))"),
    ],
)
def test_geometries_in_the_encoding_of_geoarrow(items, tmp_path, encoding, text):
    import shapely

    shape = shapely.from_wkt(text)
    _, points, offsets = shapely.to_ragged_array([shape] * len(items))
    column = pa.StructArray.from_arrays([pa.array(axis) for axis in points.T.copy()], list("xyz")[: points.shape[1]])
    for each in offsets:
        column = pa.ListArray.from_arrays(pa.array(each, pa.int32()), column)
    column = pa.concat_arrays([column[:-1], pa.nulls(1, column.type)])
    table = pq.read_table(write(tmp_path / "items.parquet", items))
    *rows, last = read(with_geometries(table, tmp_path / "items.parquet", column, encoding))[1]
    assert {shapely.from_wkb(row["geometry"]) for row in rows} == {shape}
    assert last["geometry"] is None


def test_geometries_in_a_column_of_another_name(items, tmp_path):
    table = pq.read_table(write(tmp_path / "items.parquet", items))
    path = with_geometries(table, tmp_path / "items.parquet", table["geometry"], "WKB", "geom")
    assert [row["geometry"] for row in read(path)[1]] == table["geometry"].to_pylist()


def test_geometries_in_an_unknown_encoding(items, tmp_path, caplog):
    table = pq.read_table(write(tmp_path / "items.parquet", items))
    path = with_geometries(table, tmp_path / "items.parquet", pa.array(["POINT (1 2)"] * len(items)), "WKT")
    assert {row["geometry"] for row in read(path)[1]} == {None}
    assert "VARCHAR in the column geometry, which are neither WKB" in caplog.text


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"columns": {"label": "kinds"}}, "data_columns.label"),
        ({"columns": {"group": "kinds"}}, "data_columns.group"),
        ({"split_property": "kinds"}, "split_property"),
    ],
)
def test_a_column_of_lists_is_no_column_of_text(items, tmp_path, parameters, named):
    for item in items:
        item["properties"]["kinds"] = ["Forest", "River"]
    with pytest.raises(SourceError, match=rf"{named} must hold text or numbers\. Received: .*it is VARCHAR\[\]"):
        read(write(tmp_path / "items.parquet", items), **parameters)


@pytest.mark.parametrize(
    ("crs", "expected"),
    [
        (None, None),
        ("EPSG:4326", None),
        ("OGC:CRS84", None),
        ("EPSG:4258", None),
        ("EPSG:4326+5773", None),
        ("EPSG:32633", "WGS 84 / UTM zone 33N"),
        ("EPSG:32633+5773", r"WGS 84 / UTM zone 33N \+ EGM96 height"),
    ],
)
def test_coordinates_are_degrees(items, tmp_path, crs, expected):
    import pyproj

    table = pq.read_table(write(tmp_path / "degrees.parquet", items))
    geo = json.loads(table.schema.metadata[b"geo"])
    geo["columns"]["geometry"]["crs"] = pyproj.CRS(crs).to_json_dict() if crs else None
    pq.write_table(
        table.replace_schema_metadata(table.schema.metadata | {b"geo": json.dumps(geo)}), tmp_path / "items.parquet"
    )
    if not expected:
        assert read(tmp_path / "items.parquet")[1]
        return
    with pytest.raises(SourceError, match=rf"longitude and latitude .*items\.parquet in {expected}\. Convert it"):
        read(tmp_path / "items.parquet")


def test_what_is_no_stac_geoparquet(tmp_path):
    path = tmp_path / "items.parquet"
    with pytest.raises(SourceError, match="must exist"):
        read(path)
    path.write_bytes(b"no parquet")
    with pytest.raises(
        SourceError, match=r"must be a Parquet file. Received: .*items.parquet, which reads as"
    ) as caught:
        read(path)
    assert "tilepipe-" not in str(caught.value)
    pq.write_table(pa.table({"x": [1]}), path)
    with pytest.raises(SourceError, match=r"a column assets .*with the columns x\."):
        read(path)
    pq.write_table(pa.table({"id": ["a"], "assets": ["{}"]}), path)
    with pytest.raises(SourceError, match="with a struct for each asset"):
        read(path)


def test_truncated(items, tmp_path):
    path = write(tmp_path / "items.parquet", items)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SourceError, match="must be a Parquet file"):
        read(path)


def test_members_of_an_archive(items, tmp_path):
    for item in items:
        asset = item["assets"]["image"]
        asset["archive:href"], asset["href"] = f"./tif/{item['id']}.tif", "./tiles.zip"
        asset["file:checksum"] = "1220" + "0" * 64  # of the archive
    _, rows = read(write(tmp_path / "items.parquet", items))
    assert (rows[0]["uri"], rows[0]["member"]) == (str(tmp_path / "tiles.zip"), "tif/Forest_0.tif")
    assert (rows[0]["bytes"], rows[0]["checksum"]) == (None, None)
    items[1]["assets"]["image"]["archive:href"] = "tif/../../x.tif"
    with pytest.raises(SourceError, match=r"member of an archive.*'tif/../../x.tif' in item Forest_1"):
        read(write(tmp_path / "items.parquet", items))


def test_a_file_a_band(items, tmp_path):
    for item in items:
        for band in ("B02", "B05"):
            item["assets"][f"band-{band}"] = {"href": f"./{item['id']}_{band}.tif", "type": "image/tiff"}
    options = {"band_assets": {"B5": "band-B05", "B2": "band-B02"}}
    _, rows = read(write(tmp_path / "items.parquet", items), options=options)
    assert rows[0]["band_uris"] == [str(tmp_path / f"Forest_0_{band}.tif") for band in ("B02", "B05")]
    assert (rows[0]["uri"], rows[0]["bands"], rows[0]["bytes"]) == (rows[0]["band_uris"][0], ["B02", "B05"], None)
    with pytest.raises(SourceError, match=r"must be in every item. Received: none, and"):
        read(tmp_path / "items.parquet", options={"asset_key": "none"})


def test_two_assets_with_pixels(items, tmp_path):
    items[1]["assets"]["other"] = {**items[1]["assets"]["image"], "href": "./other.tif"}
    path = write(tmp_path / "items.parquet", items)
    with pytest.raises(
        SourceError, match=r"one asset with the tile's pixels.*image, other in item Forest_1.*asset_key"
    ):
        read(path)
    del items[1]["assets"]["image"]
    _, rows = read(write(path, items))
    assert rows[1]["uri"] == str(tmp_path / "other.tif")


def test_assets_of_single_bands(items, tmp_path):
    for item in items:
        image = item["assets"].pop("image")
        for key, common in (("SCL", None), ("B08", "nir"), ("B04", "red"), ("B03", "green")):
            bands = {"eo:bands": [{"name": key, "common_name": common}]} if common else {}
            item["assets"][key] = {name: value for name, value in image.items() if name != "eo:bands"} | bands
    advice = r"""data_options='\{"band_assets": \{"B03": "B03", "B04": "B04", "B08": "B08"\}\}'"""
    with pytest.raises(SourceError, match=advice):
        read(write(tmp_path / "items.parquet", items))
    (tmp_path / "items.json").write_text(json.dumps(items))
    config = IngestConfig(source=str(tmp_path / "items.json"))
    with pytest.raises(SourceError, match=advice):
        list(StacCatalog(config.source, config).rows())


def test_geoparquet_without_types_of_geometries(items, tmp_path):
    path = write(tmp_path / "items.parquet", items)
    table = pq.read_table(path)
    geo = json.loads(table.schema.metadata[b"geo"])
    del geo["columns"]["geometry"]["geometry_types"]
    pq.write_table(table.replace_schema_metadata({b"geo": json.dumps(geo)}), tmp_path / "old.parquet")
    _, rows = read(path)
    _, old = read(tmp_path / "old.parquet")
    assert [row["geometry"] for row in old] == [row["geometry"] for row in rows]
    assert rows[0]["geometry"]


def test_only_what_is_used_is_fetched_from_a_bucket(items, tmp_path, minio_server, monkeypatch):
    many = [make_item(label, number) for label in ("Forest", "River") for number in range(1000)]
    for item in many:
        item["properties"]["ballast"] = random.Random(item["id"]).randbytes(6000).hex()
    path = write(tmp_path / "items.parquet", many)
    minio_server.use(monkeypatch)
    bucket = minio_server.make_bucket("geoparquet")
    bucket.upload_file(str(path), "set/items.parquet")
    fetched = []
    read_range = storage.read_range

    def counting(uri, offset, length):
        fetched.append(length)
        return read_range(uri, offset, length)

    monkeypatch.setattr(storage, "read_range", counting)
    _, rows = read("s3://geoparquet/set/items.parquet")
    assert len(rows) == 2000
    assert rows[0]["uri"] == "s3://geoparquet/set/Forest_0.tif"
    assert sum(fetched) < path.stat().st_size / 5


def test_a_file_on_the_web(items, tmp_path, minio_server):
    path = write(tmp_path / "items.parquet", items)
    bucket = minio_server.make_bucket("public-geoparquet")
    bucket.upload_file(str(path), "items.parquet")
    everybody = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket.name}/*",
    }
    bucket.Policy().put(Policy=json.dumps({"Version": "2012-10-17", "Statement": [everybody]}))
    _, rows = read(f"{minio_server.endpoint}/{bucket.name}/items.parquet")
    assert [row["label"] for row in rows] == ["Forest"] * 3 + ["River"] * 3
    assert rows[0]["uri"] == f"{minio_server.endpoint}/{bucket.name}/Forest_0.tif"
    bucket.Policy().delete()
    with pytest.raises(StorageError, match=r"must be readable without credentials.*refused with status 403"):
        read(f"{minio_server.endpoint}/{bucket.name}/items.parquet")


def test_parts_with_other_assets_and_columns(items, tmp_path):
    (tmp_path / "items").mkdir()
    first, second = items[:3], items[3:]
    for item in first:
        del item["collection"]
    for item in second:
        item["assets"]["infrared"] = dict(item["assets"]["image"])
    write(tmp_path / "items" / "0.parquet", first)
    write(tmp_path / "items" / "1.parquet", second)
    with pytest.raises(SourceError, match=r"one asset with the tile's pixels.*image, infrared in item River_0"):
        read(tmp_path / "items")
    source, rows = read(tmp_path / "items", options={"asset_key": "image"})
    assert source.name == "tiles-collection"
    assert [row["label"] for row in rows] == ["Forest"] * 3 + ["River"] * 3
