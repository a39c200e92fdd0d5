from tests.support.packed import write_packed
from tilepipe.components.shared.storage import s3
from tilepipe.components.train.input.placement import locate


def test_kfp_names_its_own_store_minio_and_it_is_s3(tmp_path, minio_server, monkeypatch):
    minio_server.use(monkeypatch)
    s3._open_store.cache_clear()
    manifest = write_packed(tmp_path, tiles=(6, 0, 0))
    (shard,) = manifest.splits["train"].shards
    minio_server.make_bucket("mlpipeline").upload_file(str(tmp_path / "train" / shard.name), f"v2/train/{shard.name}")
    assert locate(["minio://mlpipeline/v2/train"], manifest.splits["train"]) == [
        f"s3://mlpipeline/v2/train/{shard.name}"
    ]
