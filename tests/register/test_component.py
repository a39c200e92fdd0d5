from kfp import dsl

from tilepipe.components.register.component import register_model
from tilepipe.components.shared.registry import version_tags
from tilepipe.components.shared.registry.registered_version import find_version
from tilepipe.components.shared.tracking import tracking


def test_lineage_comes_from_the_metadata_of_the_artifacts(bundle, run_id, tmp_path):
    path, digest = bundle
    registered = register_model.python_func(
        bundle=dsl.Model(uri=str(path), metadata={"sha256": digest}),
        manifest=dsl.Artifact(uri=str(tmp_path / "m"), metadata={"contents": '["s3://b/contents.parquet"]'}),
        predictions=dsl.Dataset(uri=str(tmp_path / "p"), metadata={"test_shards": '["s3://b/test"]'}),
        image="train:2",
        mlflow_run_id=run_id,
        name="forests",
    )
    assert registered == "forests/1"
    tags = find_version(tracking.client(), "forests@challenger").tags
    assert tags[version_tags.IMAGE] == "train:2"
    assert tags[version_tags.TEST_SHARDS] == '["s3://b/test"]'
    assert tags[version_tags.TRAINING_TILES] == '["s3://b/contents.parquet"]'
