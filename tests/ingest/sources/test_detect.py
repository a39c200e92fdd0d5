import json
from typing import get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tilepipe.components.ingest.config import IngestConfig, IngestOptions, SourceKind
from tilepipe.components.ingest.sources.detect import SOURCES, detect_kind, open_source
from tilepipe.components.shared.errors import ParameterError, SourceError, StorageError


def opened(source, **parameters):
    return open_source(IngestConfig.parse(source=str(source), **parameters))


@pytest.mark.parametrize(
    ("uri", "kind"),
    [
        ("/data/catalog.json", "stac-catalog"),
        ("s3://bucket/x/Collection.JSON", "stac-catalog"),
        ("s3://bucket/items.geoparquet", "stac-geoparquet"),
        ("/data/ecotaxa_export.TSV", "table"),
        ("https://example.org/labels.csv", "table"),
        ("https://example.org/labels.csv?sig=c2VjcmV0", "table"),
        ("/data/part-r-00012", "tfrecord"),
        ("https://example.org/api/v1", "stac-api"),
    ],
)
def test_the_name_determines_the_kind(uri, kind):
    assert detect_kind(uri) == kind


def test_each_kind_has_a_source():
    assert SOURCES.keys() == set(get_args(SourceKind))
    assert set(get_args(IngestOptions.model_fields["kind"].annotation)) == {"auto", *SOURCES}


def test_the_kind_of_a_parquet_is_detected_by_its_columns(tmp_path):
    for columns, kind in (({"id": ["a"], "assets": [{"x": 1}]}, "stac-geoparquet"), ({"image": ["a"]}, "table")):
        pq.write_table(pa.table(columns), tmp_path / "x.parquet")
        assert detect_kind(str(tmp_path / "x.parquet")) == kind


def test_a_catalog_in_a_folder_is_found(catalog, class_folders):
    root = catalog()
    assert opened(root.parent).root == str(root)
    assert opened(root.parent / "tiles-collection").root.endswith("collection.json")
    assert opened(root.parent, options={"kind": "stac-catalog"}).root == str(root)
    assert opened(class_folders()).kind == "folder"


def test_the_kind_may_be_said(catalog):
    assert opened(catalog().parent, options={"kind": "folder"}).kind == "folder"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("gs://bucket/x", "local path, file://, s3://, https:// or http://"),
        ("/no/such/folder", "A source must exist. Received: data_source=/no/such/folder"),
        ("/no/such/catalog.json", "A source must exist"),
        ("/no/such/items.parquet", "A source must exist"),
    ],
)
def test_sources_that_cannot_be_opened(source, message):
    with pytest.raises(SourceError, match=message):
        opened(source)


def test_a_query_is_for_an_api(class_folders):
    with pytest.raises(
        ParameterError, match=r"kinds stac-api\. Received: data_query='{\"max_items\": 3}'.*kind folder"
    ):
        opened(class_folders(), query={"max_items": 3})


def test_a_folder_has_no_properties(class_folders):
    with pytest.raises(ParameterError, match=r"split_property.*Use split_files"):
        opened(class_folders(), split_property="split")


def test_a_folder_has_no_columns(class_folders):
    with pytest.raises(ParameterError, match=r"`data_columns` is for.*Received: data_columns='{\"label\": \"class\"}'"):
        opened(class_folders(), columns={"label": "class"})


@pytest.mark.parametrize(
    ("name", "value", "kinds"),
    [
        ("asset_key", "image", "stac-catalog, stac-geoparquet, stac-api"),
        ("band_assets", {"B04": "red"}, "stac-catalog, table, stac-geoparquet, stac-api"),
        ("record_dtype", "uint16", "tfrecord"),
        ("record_shape", [64, 64], "tfrecord"),
    ],
)
def test_options_of_other_kinds_are_refused(class_folders, name, value, kinds):
    with pytest.raises(ParameterError) as caught:
        opened(class_folders(), options={name: value})
    given = json.dumps({name: value})
    assert f"`data_options.{name}` is for sources of the kinds {kinds}. Received: data_options='{given}'" in str(
        caught.value
    )


@pytest.mark.parametrize(("name", "kinds"), [("id", "table, tfrecord"), ("image", "table")])
def test_items_have_an_id_and_assets(catalog, name, kinds):
    with pytest.raises(ParameterError) as caught:
        opened(catalog(), columns={"label": "class", name: "x"})
    assert f"`data_columns.{name}` is for sources of the kinds {kinds}. Received: data_columns='{{" in str(caught.value)


def test_the_web_has_no_folders():
    message = r"local or in S3: .*Received: data_source=https://example.org/tiles\?\.\.\.\."
    with pytest.raises(ParameterError, match=message):
        opened("https://example.org/tiles?sig=c2VjcmV0", options={"kind": "folder"})


def test_an_unreachable_parquet_is_reported_as_such(minio_server, monkeypatch):
    minio_server.use(monkeypatch)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret")
    with pytest.raises(StorageError, match="credentials must permit the request"):
        detect_kind("s3://a-bucket/items.parquet")


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("x.h5", "Write each image of them to a"), ("x.tif", "Give the address of the folder"), ("x.a", "")],
)
def test_a_file_of_another_kind_is_no_folder(tmp_path, name, remedy):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(SourceError, match=rf"one file must be a table.* a file with the suffix \.\w+\. ?{remedy}"):
        open_source(IngestConfig(source=str(tmp_path / name)))


def test_a_zip_is_read_as_class_folders(tmp_path):
    (tmp_path / "tiles.zip").write_bytes(b"x")
    assert detect_kind(str(tmp_path / "tiles.zip")) == detect_kind("https://example.org/Tiles.ZIP?token=x") == "folder"


@pytest.mark.parametrize("name", ["TILES.RAR", "tiles.tar.zst", "tiles.7z"])
def test_other_archives_have_to_be_unpacked(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(SourceError, match=f"must be a zip, or a tar.*{name}, a file with the suffix .*Unpack it"):
        opened(tmp_path / name)


def test_a_folder_may_be_named_like_an_archive(class_folders):
    assert opened(class_folders(root="tiles.zip")).kind == "folder"
