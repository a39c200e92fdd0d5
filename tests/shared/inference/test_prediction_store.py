import uuid

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tilepipe.components.shared.errors import StorageError
from tilepipe.components.shared.inference.prediction_store import PredictionStore


def test_partitions_that_an_object_hides(minio_server, monkeypatch, tmp_path):
    minio_server.use(monkeypatch)
    bucket = minio_server.make_bucket(f"hidden-{uuid.uuid4().hex[:8]}")
    pq.write_table(pa.table({"tile_id": ["a"]}), tmp_path / "a.parquet")
    store = PredictionStore(f"s3://{bucket.name}/predictions", ())
    store.append("a.parquet", tmp_path / "a.parquet")
    assert store.partitions() == ["a.parquet"]
    bucket.put_object(Key="predictions", Body=b"x")
    with pytest.raises(StorageError, match=rf"must appear in listings.*s3://{bucket.name}/predictions.*no b.parquet"):
        store.append("b.parquet", tmp_path / "a.parquet")
