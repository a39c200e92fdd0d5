"""`ingest` and `pack` from a bucket to shards: of a real MinIO, and the whole way of servers of other makers."""

import logging
import re
import uuid

import pytest

from tests.ingest.conftest import edit_json
from tests.pack.conftest import random_pixels, read_records, write_geotiff, write_picture
from tests.support.ingesting import ingest_into
from tests.support.tile_tables import read_tile_table
from tilepipe.components.shared.errors import SourceError, StorageError
from tilepipe.pipelines.cli.push.push import push

FRACTIONS = {"train": 0.5, "val": 0.25, "test": 0.25}


@pytest.fixture(scope="module")
def bucket(minio_server):
    return minio_server.make_bucket(f"tiles-{uuid.uuid4().hex[:8]}")


@pytest.fixture
def upload(bucket, minio_server, monkeypatch):
    minio_server.use(monkeypatch)

    def uploaded(folder, prefix):
        for path in folder.rglob("*"):
            if path.is_file():
                bucket.upload_file(str(path), f"{prefix}/{path.relative_to(folder)}")
        return f"s3://{bucket.name}/{prefix}"

    return uploaded


@pytest.fixture
def stac(tmp_path):
    """A catalog of twelve GeoTIFFs, and the same items as STAC-GeoParquet."""
    import pyarrow as pa
    import stac_geoparquet.arrow

    from tests.ingest.conftest import make_item

    root, items = tmp_path / "stac", []
    for number in range(12):
        label = "ab"[number % 2]
        write_geotiff(root / "tif" / f"{number}.tif", random_pixels(number))
        item = make_item(label, number)
        item["assets"]["image"].update(
            href=f"./tif/{number}.tif",
            **{"file:size": (root / "tif" / f"{number}.tif").stat().st_size, "bands": [{"name": n} for n in "wxyz"]},
        )
        items.append(item)
    links = [{"rel": "item", "href": f"./{item['id']}.json"} for item in items]
    for name, document in [("catalog", {"type": "Catalog", "id": "set", "links": links})] + [
        (i["id"], i) for i in items
    ]:
        (root / f"{name}.json").write_text("{}")
        edit_json(root / f"{name}.json", lambda empty, document=document: empty.update(document))
    table = pa.Table.from_batches(stac_geoparquet.arrow.parse_stac_items_to_arrow(items))
    stac_geoparquet.arrow.to_parquet(table, root / "items.parquet")
    return root


@pytest.mark.parametrize("name", ["catalog.json", "", "items.parquet"])
def test_from_a_catalog_in_a_bucket(stac, upload, run, tmp_path, caplog, minio_server, name):
    caplog.set_level(logging.DEBUG)
    root = upload(stac, f"set-{name}")
    tiles = tmp_path / "tiles.parquet"
    ingest_into(tmp_path, source=f"{root}/{name}", split_fractions=FRACTIONS)
    table, info = read_tile_table(tiles)
    assert table["uri"][0].as_py() == f"{root}/tif/0.tif"
    assert info.bands == tuple("wxyz")
    manifest = run(tiles)
    assert {split: summary.tiles for split, summary in manifest.splits.items()} == {"train": 6, "val": 4, "test": 2}
    images = {
        tile_id: image for split in manifest.splits for tile_id, _, image in read_records(tmp_path / "out" / split)
    }
    assert images["a_4"] == random_pixels(4).tobytes()
    assert minio_server.secret_key not in caplog.text + tiles.read_bytes().decode("latin1")


def test_from_class_folders_in_a_bucket_with_lists_beside_them(upload, run, tmp_path):
    for number in range(8):
        path = tmp_path / "tiles" / "ab"[number % 2] / f"{number}.png"
        write_picture(path, random_pixels(number, (8, 8, 3), "uint8", 255))
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "train.txt").write_text("0.png\n1.png\n2.png\n3.png\n")
    (tmp_path / "lists" / "val.txt").write_text("4.png\n5.png\n")
    lists = upload(tmp_path / "lists", "lists")
    tiles = tmp_path / "tiles.parquet"
    returned = ingest_into(
        tmp_path,
        source=upload(tmp_path / "tiles", "folder"),
        split_files={"train": f"{lists}/train.txt", "val": f"{lists}/val.txt"},
    )
    assert (returned["name"], returned["tiles"]) == ("folder", 6)
    assert run(tiles).splits["train"].tiles == 4


def test_a_catalog_in_a_bucket_must_not_read_this_machines_files(stac, upload, tmp_path):
    edit_json(stac / "a_0.json", lambda item: item["assets"]["image"].update(href="file:///etc/passwd"))
    with pytest.raises(SourceError, match="must be below the catalog's folder"):
        ingest_into(tmp_path, source=f"{upload(stac, 'evil')}/catalog.json")


def test_wrong_credentials(stac, upload, tmp_path, monkeypatch):
    root = upload(stac, "closed")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-wrong-secret")
    for source in (f"{root}/catalog.json", f"{root}/items.parquet", root):
        with pytest.raises(StorageError, match="AWS_SECRET_ACCESS_KEY") as caught:
            ingest_into(tmp_path, source=source)
        assert "a-wrong-secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["none/catalog.json", "none/items.parquet", "none"])
def test_what_is_not_in_the_bucket(upload, bucket, tmp_path, name):
    with pytest.raises(SourceError, match=r"must exist|must hold one folder per class"):
        ingest_into(tmp_path, source=f"s3://{bucket.name}/{name}")


def test_tiles_are_pushed_listed_packed_and_kept(s3_server, monkeypatch, run, tmp_path, caplog):
    s3_server.use(monkeypatch)
    caplog.set_level(logging.INFO)
    address = f"s3://tiles-{uuid.uuid4().hex[:8]}"
    for number in range(16):
        name = f"{'ab'[number % 2]}/{number} ä+.png"
        write_picture(tmp_path / "pictures" / name, random_pixels(number, (8, 8, 3), "uint8", 255))
    pushed = push(tmp_path / "pictures", f"{address}/set", lambda files, size: None)
    assert (pushed.uploaded, pushed.is_new_bucket) == (16, True)
    found = ingest_into(tmp_path, source=f"{address}/set", split_fractions={"train": 0.5, "val": 0.25, "test": 0.25})
    assert found["tiles"] == 16
    options = {"cache": f"{address}/cache"}
    first = run(tmp_path / "tiles.parquet", options=options)
    assert sum(split.tiles for split in first.splits.values()) == 16
    caplog.clear()
    second = run(tmp_path / "tiles.parquet", out="again", options=options)
    assert re.search(r"(\d+) of \1 reads of tiles came from the cache .*, 0 fetched tiles were added", caplog.text)
    assert second.splits == first.splits
