import hashlib
import logging
import os
import socket
import time
import uuid

import pytest

from tests.support.faulty_proxy import FaultyProxy
from tilepipe.components.ingest.sources import s3_prefix
from tilepipe.components.ingest.sources.folder import ClassFolders
from tilepipe.components.ingest.sources.s3_prefix import S3ClassFolders
from tilepipe.components.shared.errors import SourceError, StorageError
from tilepipe.components.shared.storage import storage

SECRET = "not-for-anybody-to-read"
ODD = ("Forest/a b.jpg", "Forest/a+b.jpg", "Forest/a%20b.jpg", "Forest/a&<b>.jpg", "Größe/Bäume ☂.png", "Forest/#?.tif")


@pytest.fixture
def bucket(s3_server, monkeypatch):
    s3_server.use(monkeypatch)
    return s3_server.make_bucket(f"tiles-{uuid.uuid4().hex}")


@pytest.fixture
def minio_bucket(minio_server, monkeypatch):
    minio_server.use(monkeypatch)
    return minio_server.make_bucket(f"tiles-{uuid.uuid4().hex}")


def rows_of(bucket, prefix="", **_):
    return sorted(S3ClassFolders(f"s3://{bucket.name}/{prefix}".rstrip("/")).rows(), key=lambda row: row.tile_id)


def test_the_same_rows_as_on_a_disk(bucket, class_folders):
    root = class_folders(count=3)
    for path in root.rglob("*.jpg"):
        bucket.put_object(Key=f"eo/tiles/{path.relative_to(root)}", Body=path.read_bytes())
    bucket.put_object(Key="eo/tiles/Forest/", Body=b"")
    bucket.put_object(Key="eo/tiles/Forest/.hidden.jpg", Body=b"x")
    bucket.put_object(Key="eo/tiles-2/Forest/x.jpg", Body=b"x")
    local = sorted(ClassFolders(str(root)).rows(), key=lambda row: row.tile_id)
    found = rows_of(bucket, "eo/tiles")
    assert [(row.tile_id, row.label, row.bytes) for row in found] == [
        (row.tile_id, row.label, row.bytes) for row in local
    ]
    assert found[0].uri == f"s3://{bucket.name}/eo/tiles/Forest/Forest_0.jpg"
    assert found[0].checksum == "d50110" + hashlib.md5(b"x").hexdigest()
    assert S3ClassFolders(f"s3://{bucket.name}/eo/tiles").name == "tiles"
    assert S3ClassFolders(f"s3://{bucket.name}").name == bucket.name


def test_names_that_must_be_escaped(bucket):
    for name in ODD:
        bucket.put_object(Key=name, Body=name.encode())
    found = rows_of(bucket)
    assert [row.tile_id for row in found] == sorted(ODD)
    assert {row.label for row in found} == {"Forest", "Größe"}
    assert [storage.read_bytes(row.uri).decode() for row in found] == sorted(ODD)


def test_ignored_folders_and_images_are_reported(bucket, caplog):
    for key in ("Forest/a.jpg", "docs/readme.txt", "beside.png"):
        bucket.put_object(Key=key, Body=b"x")
    assert len(rows_of(bucket)) == 1
    assert "1 folders without images: docs" in caplog.text
    assert "skipped 1 images outside class folders" in caplog.text


def test_pages_and_more_folders_than_threads(bucket, monkeypatch):
    monkeypatch.setattr(s3_prefix, "THREADS", 2)
    client = s3_prefix._connect
    asked = []

    def small_pages(root):
        connected = client(root)
        connected.meta.events.register(
            "before-parameter-build.s3.ListObjectsV2", lambda params, **_: asked.append(params.update(MaxKeys=2))
        )
        return connected

    monkeypatch.setattr(s3_prefix, "_connect", small_pages)
    names = [f"class {label}/{number}.jpg" for label in range(5) for number in range(5)]
    for name in names:
        bucket.put_object(Key=name, Body=b"x")
    assert [row.tile_id for row in rows_of(bucket)] == names
    assert len(asked) >= 3 + 5 * 3


def test_leaving_early_ends_the_threads(bucket):
    for label in range(20):
        bucket.put_object(Key=f"{label}/x.jpg", Body=b"x")
    rows = S3ClassFolders(f"s3://{bucket.name}").rows()
    assert next(rows)
    rows.close()


def test_an_upload_in_parts_has_no_checksum(bucket):
    upload = bucket.Object("Forest/a.tif").initiate_multipart_upload()
    part = upload.Part(1).upload(Body=b"x" * 100)
    upload.complete(MultipartUpload={"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]})
    bucket.put_object(Key="River/a.tif", Body=b"x")
    assert [row.checksum is None for row in rows_of(bucket)] == [True, False]


def test_without_the_right_to_read_there_is_no_checksum(bucket, monkeypatch):
    bucket.put_object(Key="Forest/a.tif", Body=b"x")
    bucket.Policy().put(Policy=policy(bucket.name, "s3:ListBucket"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    without_other_credentials(monkeypatch)
    (row,) = rows_of(bucket)
    assert row.checksum is None


def policy(bucket, action):
    resource = f'["arn:aws:s3:::{bucket}"]'
    return (
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": ["*"]}, '
        f'"Action": ["{action}"], "Resource": {resource}}}]}}'
    )


def without_other_credentials(monkeypatch):
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")


@pytest.mark.parametrize("fault", ["slowdown", "error"])
def test_a_server_that_fails_is_no_object_without_a_checksum(bucket, monkeypatch, fault):
    for name in ("Forest/a.jpg", "River/b.jpg"):
        bucket.put_object(Key=name, Body=name.encode())
    with FaultyProxy(os.environ["AWS_ENDPOINT_URL"], fault, share=1, methods=("HEAD",)) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
        with pytest.raises(StorageError, match="S3"):
            rows_of(bucket)
    with FaultyProxy(proxy.upstream, fault, share=1, most=2, methods=("HEAD",)) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
        assert all(row.checksum for row in rows_of(bucket))


def test_a_bucket_that_is_not_there(bucket):
    with pytest.raises(SourceError, match=r"bucket must exist.*s3://no-such-bucket/tiles \(NoSuchBucket at http"):
        list(S3ClassFolders("s3://no-such-bucket/tiles").rows())


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ((), r"with no files\. Check the address\."),
        (("tiles/Forest/x.txt", "tiles/x.csv"), "2 files, no images"),
        (("tiles/a.jpg", "tiles/b.png"), "2 images and no class folder"),
    ],
)
def test_no_tiles(bucket, keys, message):
    for key in keys:
        bucket.put_object(Key=key, Body=b"x")
    with pytest.raises(SourceError, match=f"one folder per class.*{message}"):
        rows_of(bucket, "tiles")


@pytest.mark.parametrize(
    ("key_id", "message"),
    [
        ("", "AccessDenied.*AWS_SECRET_ACCESS_KEY, and that the bucket's policy allows s3:ListBucket"),
        ("somebody", "(InvalidAccessKeyId|XAdminUserNotFound).*AWS_SECRET_ACCESS_KEY, and that AWS_ENDPOINT_URL"),
        (None, "complete credentials.*AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_no_access(bucket, monkeypatch, key_id, message):
    without_other_credentials(monkeypatch)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    if key_id is None:  # half of the credentials
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    else:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key_id)
    with pytest.raises(StorageError, match=message) as caught:
        rows_of(bucket)
    assert SECRET not in str(caught.value)


def test_a_server_that_is_away(monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    started = time.monotonic()
    with pytest.raises(StorageError, match=r"reachable.*s3://tiles/x .*after 4 attempts.*AWS_ENDPOINT_URL"):
        list(S3ClassFolders("s3://tiles/x").rows())
    assert time.monotonic() - started < 15


def test_an_endpoint_that_is_none(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"user:{SECRET}@127.0.0.1:9000")
    with pytest.raises(StorageError, match="AWS_ENDPOINT_URL must be http") as caught:
        list(S3ClassFolders("s3://tiles").rows())
    assert SECRET not in str(caught.value)


def test_an_object_with_the_name_of_the_prefix(minio_bucket):
    for key in ("tiles", "tiles/Forest/a.jpg"):
        minio_bucket.put_object(Key=key, Body=b"x")
    with pytest.raises(SourceError, match=rf"data_source=s3://{minio_bucket.name}/tiles, which is an object"):
        rows_of(minio_bucket, "tiles")


def test_an_object_with_the_name_of_a_class(minio_bucket, caplog):
    for key in ("tiles/Forest/a.jpg", "tiles/River/a.jpg", "tiles/River", "tiles/list.dat"):
        minio_bucket.put_object(Key=key, Body=b"x")
    assert [row.tile_id for row in rows_of(minio_bucket, "tiles")] == ["Forest/a.jpg"]
    assert "objects have the names of class folders: River; MinIO hides" in caplog.text


def test_progress_is_reported(bucket, caplog):
    caplog.set_level(logging.INFO, "tilepipe.ingest")
    bucket.put_object(Key="Forest/a.tif", Body=b"x")
    rows_of(bucket)
    assert "listed 1 objects" in caplog.text


def test_split_folders_above_class_folders(bucket, caplog):
    caplog.set_level(logging.INFO, "tilepipe.ingest")
    names = ["Train/Crop/1.jpg", "Train/test/north/1.bmp", "test/Crop/1.jpg", "valid/Crop/1.webp"]
    for name in [*names, ".git/x/1.jpg", "list.csv"]:
        bucket.put_object(Key=f"eo/{name}", Body=b"x")
    found = [(row.tile_id, row.split, row.label) for row in rows_of(bucket, "eo")]
    assert found == [
        (name, split, label)
        for name, split, label in zip(
            names, ("train", "train", "test", "val"), ("Crop", "test", "Crop", "Crop"), strict=True
        )
    ]
    assert all(row.checksum for row in rows_of(bucket, "eo"))
    assert "the folders Train (train), test, valid (val) are splits" in caplog.text
    assert "skipped 1 files with an unsupported suffix: .csv 1" in caplog.text


@pytest.mark.parametrize("names", [("train/1.jpg", "bus/1.jpg"), ("test/a/1.jpg", "val/a/1.jpg", "zebra/a/1.jpg")])
def test_folders_that_are_not_all_splits_are_classes(bucket, names):
    for name in names:
        bucket.put_object(Key=name, Body=b"x")
    found = [(row.tile_id, row.split, row.label) for row in rows_of(bucket)]
    assert found == [(name, None, name.split("/")[0]) for name in sorted(names)]
