"""A model from its training to production on a real Kubeflow: registered, promoted, and used by the other pipelines."""

import json
import uuid

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.e2e.conftest import SMALL, submit, upload_sample
from tests.support.scenes import cells, write_bundle, write_scene
from tilepipe.components.shared.inference.bundle_model import open_model
from tilepipe.components.shared.registry import version_tags
from tilepipe.components.shared.registry.registered_version import fetch_bundle, find_version

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2700)]


@pytest.fixture(scope="module")
def compiled(kubeflow, tmp_path_factory):
    """Function that returns the YAML of a pipeline, compiled for the images of this cluster."""
    folder = tmp_path_factory.mktemp("pipelines")

    def compiled(name):
        if not (folder / f"{name}.yaml").exists():
            kubeflow.tilepipe("compile", name, "--out", str(folder))
        return folder / f"{name}.yaml"

    return compiled


@pytest.fixture(scope="module")
def training(kubeflow, tmp_path_factory):
    """Arguments of trainings that differ only in their quality, and the name under which they register their models.

    The 60 test tiles are enough for the gate to see the difference between three epochs and thirty.
    """
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    catalog = upload_sample(kubeflow, tmp_path_factory.mktemp("tiles") / "sample", name, tiles_per_class=40)
    words = [f"data_source={catalog}", *SMALL, f"register_name={name}", "train_augmentation=[]"]
    return [*words, "train_learning_rate=0.003"], name


@pytest.fixture(scope="module")
def registered(kubeflow, pipeline_yaml, training):
    """Id of a run, and the name under which it registered its model."""
    words, name = training
    run_id, done = submit(kubeflow, pipeline_yaml, *words, "train_epochs=3")
    assert kubeflow.run(run_id).state == "SUCCEEDED", done.stdout
    return run_id, name


@pytest.fixture
def prefix():
    """A new folder in the bucket."""
    return f"e2e-{uuid.uuid4().hex[:8]}"


def test_a_training_registers_a_challenger(kubeflow, registered, tmp_path):
    run_id, name = registered
    version = find_version(kubeflow.mlflow, f"{name}@{version_tags.CHALLENGER}")
    assert version.version == 1
    assert version.tags[version_tags.PIPELINE_RUN] == run_id
    for tag in (version_tags.TEST_SHARDS, version_tags.TRAINING_TILES):
        assert json.loads(version.tags[tag])[0].startswith("s3://")
    assert float(version.tags[f"{version_tags.FIGURE_PREFIX}test_accuracy"]) >= 0
    model = open_model(str(fetch_bundle(kubeflow.mlflow, version, tmp_path)))
    assert model.predict(model.example()).shape == (1, len(model.class_names))


def test_without_export_nothing_is_registered(kubeflow, pipeline_yaml, training, registered):
    words, name = training
    words = [word for word in words if not word.startswith("register_name=")]  # refused without export
    before = len(kubeflow.mlflow.search_model_versions(f"name='{name}'"))
    run_id, _ = submit(kubeflow, pipeline_yaml, *words, "train_epochs=3", "export_enabled=false")
    assert kubeflow.run(run_id).state == "SUCCEEDED"
    assert kubeflow.executors(run_id, "export-model") == kubeflow.executors(run_id, "register-model") == 0
    assert len(kubeflow.mlflow.search_model_versions(f"name='{name}'")) == before


def test_the_gate_refuses_a_worse_version_and_accepts_a_better_one(
    kubeflow, compiled, pipeline_yaml, training, registered
):
    words, name = training
    worse, _ = submit(kubeflow, pipeline_yaml, *words, "train_learning_rate=0.000001", "--no-wait")
    better, _ = submit(kubeflow, pipeline_yaml, *words, "train_epochs=30", "--no-wait")

    first, done = _promote(kubeflow, compiled, name, 1)
    assert first == "SUCCEEDED", done.stdout
    assert _champion(kubeflow, name).version == 1

    refused = _version_of(kubeflow, name, worse)
    state, done = _promote(kubeflow, compiled, name, refused)
    assert state == "FAILED"
    assert "The challenger is worse" in done.stdout + done.stderr
    assert find_version(kubeflow.mlflow, f"{name}/{refused}").tags[version_tags.GATE] == "refused"
    assert _champion(kubeflow, name).version == 1

    accepted = _version_of(kubeflow, name, better)
    state, done = _promote(kubeflow, compiled, name, accepted)
    assert state == "SUCCEEDED", done.stdout
    assert _champion(kubeflow, name).version == accepted
    assert "The challenger is better" in _champion(kubeflow, name).tags[version_tags.GATE_REASON]

    kubeflow.tilepipe("rollback", name, "--reason", "a look at the older one")
    assert _champion(kubeflow, name).version == 1
    history = json.loads(kubeflow.tilepipe("models", name, "--output", "json").stdout)["promotions"]
    moves = [(entry["action"], entry["from_version"], entry["to_version"]) for entry in history]
    assert moves == [("promote", None, 1), ("promote", 1, accepted), ("rollback", accepted, 1)]
    assert history[-1]["why"] == "a look at the older one"


def _promote(kubeflow, compiled, name, version):
    """Run the pipeline; returns the state of the run, and the finished process of the command line."""
    words = [f"model_name={name}", f"model_version={version}"]
    run_id, done = submit(kubeflow, compiled("promote"), *words, check=False)
    return kubeflow.run(run_id).state, done


def _champion(kubeflow, name):
    return find_version(kubeflow.mlflow, f"{name}@{version_tags.CHAMPION}")


def _version_of(kubeflow, name, run_id):
    """Return the number of the version that a run registered, once the run has ended."""
    assert kubeflow.wait(run_id).state == "SUCCEEDED"
    versions = kubeflow.mlflow.search_model_versions(f"name='{name}'")
    (number,) = (one.version for one in versions if one.tags[version_tags.PIPELINE_RUN] == run_id)
    return int(number)


def test_three_pods_predict_tiles(kubeflow, compiled, sample, registered, prefix):
    _, name = registered
    place = f"s3://{kubeflow.bucket.name}/{prefix}"
    words = [f"data_source={sample}", f"model_uri=models:/{name}@{version_tags.CHALLENGER}", f"output_uri={place}"]
    words += ["tracking_experiment=e2e", "predict_workers=3"]
    run_id, done = submit(kubeflow, compiled("predict_tiles"), *words)
    assert kubeflow.run(run_id).state == "SUCCEEDED", done.stdout
    assert kubeflow.executors(run_id, "predict-part") == 3
    written = [o.key for o in kubeflow.bucket.objects.filter(Prefix=prefix) if o.key.endswith(".parquet")]
    assert len(written) == 1
    table = pq.read_table(pa.BufferReader(kubeflow.bucket.Object(written[0]).get()["Body"].read()))
    assert table.num_rows == 200
    assert len(set(table["tile_id"].to_pylist())) == 200

    again, done = submit(kubeflow, compiled("predict_tiles"), *words)
    assert kubeflow.run(again).state == "SUCCEEDED", done.stdout
    assert [o.key for o in kubeflow.bucket.objects.filter(Prefix=prefix) if o.key.endswith(".parquet")] == written


def test_scenes_are_classified_in_a_loop_that_may_be_empty(kubeflow, compiled, prefix, tmp_path):
    write_bundle(tmp_path / "model.tar.gz")
    write_scene(tmp_path / "one.tif", cells(np.arange(12).reshape(3, 4) % 2))
    write_scene(tmp_path / "two.tif", cells(np.ones((2, 2), int)))
    for name in ("model.tar.gz", "one.tif", "two.tif"):
        kubeflow.bucket.upload_file(str(tmp_path / name), f"{prefix}/{name}")
    place = f"s3://{kubeflow.bucket.name}/{prefix}"
    words = [f"model_uri={place}/model.tar.gz", f"output_uri={place}/maps"]
    scenes = json.dumps([f"{place}/one.tif", f"{place}/two.tif"])
    run_id, done = submit(kubeflow, compiled("predict_scenes"), *words, f"scene_uris={scenes}")
    assert kubeflow.run(run_id).state == "SUCCEEDED", done.stdout
    maps = [o.key for o in kubeflow.bucket.objects.filter(Prefix=f"{prefix}/maps/") if o.key.endswith("/classes.tif")]
    assert sorted(key.split("/")[2].rpartition("-")[0] for key in maps) == ["one", "two"]

    run_id, done = submit(kubeflow, compiled("predict_scenes"), *words, "scene_uris=[]")
    assert kubeflow.run(run_id).state == "SUCCEEDED", done.stdout
    assert kubeflow.executors(run_id, "predict-scene") == 0
