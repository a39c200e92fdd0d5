"""Scenes, models and results in S3 and on the web, on a real server."""

import json
import uuid

import pytest

from tests.support.scenes import cells, write_item, write_scene
from tilepipe.components.shared.errors import SourceError, StorageError

GRID = [[0, 1], [2, 0]]


@pytest.fixture
def bucket(minio_server, monkeypatch, tmp_path):
    """Return a bucket with a scene of two files, its item, and a scene of one file."""
    minio_server.use(monkeypatch)
    bucket = minio_server.make_bucket(f"scenes-{uuid.uuid4().hex[:8]}")
    for band in ("B01", "B02"):
        write_scene(tmp_path / f"{band}.tif", cells(GRID), bands=(None,))
    assets = {band: {"href": f"./{band}.tif", "type": "image/tiff"} for band in ("B01", "B02")}
    write_item(tmp_path / "item.json", assets)
    write_scene(tmp_path / "both.tif", cells(GRID))
    for file in ("B01.tif", "B02.tif", "item.json", "both.tif"):
        bucket.upload_file(str(tmp_path / file), f"set/{file}")
    return bucket


def test_scene_model_and_results_in_s3(predict, bucket, bundle):
    bucket.upload_file(str(bundle), "models/m.tar.gz")
    place = f"s3://{bucket.name}"
    found = predict(f"{place}/set/item.json", model_uri=f"{place}/models/m.tar.gz", output_uri=f"{place}/maps")
    assert found.classes.tolist() == GRID
    assert found.facts["uri"] == f"{place}/maps/{found.facts['name']}"
    keys = {entry.key.rpartition("/")[2]: entry for entry in bucket.objects.filter(Prefix="maps/")}
    assert set(keys) == {"classes.tif", "confidence.tif", "preview.png", "item.json"}
    item = json.loads(keys["item.json"].get()["Body"].read())
    assert [link["href"] for link in item["links"]] == [f"{place}/set/item.json", f"{place}/models/m.tar.gz"]


def test_a_signed_address_on_the_web_is_read_and_not_shown(predict, bucket):
    client = bucket.meta.client
    url = client.generate_presigned_url("get_object", Params={"Bucket": bucket.name, "Key": "set/both.tif"})
    found = predict(url)
    assert found.classes.tolist() == GRID
    written = found.page + json.dumps(found.item) + json.dumps(found.facts)
    assert "Signature=" in url
    assert "Signature=" not in written
    assert found.facts["name"].startswith("both-")


def test_missing_objects_and_denied_access_are_explained(predict, bucket, monkeypatch):
    with pytest.raises(SourceError, match=r"An object must exist to be read\. Received: s3://.*none\.tif"):
        predict(f"s3://{bucket.name}/set/none.tif")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(StorageError, match="The credentials must permit the request"):
        predict(f"s3://{bucket.name}/set/both.tif")
