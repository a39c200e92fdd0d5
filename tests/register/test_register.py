"""Tests of the registration in a real MLflow store."""

import json
import subprocess
import sys
import threading

import numpy as np
import pytest

from tests.support.bundles import write_model_bundle
from tests.support.packed import CLASSES, manifest_for
from tests.support.registry import twice_at_once
from tilepipe.components.shared.errors import ArtifactError, ParameterError, SourceError, TrackingError
from tilepipe.components.shared.inference.bundle_model import open_model
from tilepipe.components.shared.registry import version_tags
from tilepipe.components.shared.registry.registered_version import fetch_bundle, find_version
from tilepipe.components.shared.tracking import tracking
from tilepipe.components.shared.version import VERSION


def test_the_version_is_the_challenger_and_states_its_origin(do_register, bundle, run_id):
    assert do_register() == "bright/1"
    found = find_version(tracking.client(), "bright@challenger")
    assert (found.version, found.run_id, found.aliases) == (1, run_id, ("challenger",))
    assert found.tags == {
        version_tags.BUNDLE_SHA256: bundle[1],
        version_tags.BUNDLE_URI: f"runs:/{run_id}/bundle/{bundle[1][:12]}/model.tar.gz.bin",
        version_tags.DATASET_DIGEST: manifest_for().digest,
        version_tags.PIPELINE_RUN: "kfp-1",
        version_tags.IMAGE: "registry.example/train:1",
        version_tags.CODE_VERSION: VERSION,
        version_tags.TEST_SHARDS: '["s3://tiles/test-0", "s3://tiles/test-1"]',
        version_tags.TRAINING_TILES: '["s3://tiles/contents.parquet"]',
        f"{version_tags.FIGURE_PREFIX}test_accuracy": "1",
    }
    described = tracking.client().get_model_version("bright", "1").description
    assert described.startswith("Classifier for 3 classes of 8 x 8 tiles, uint16, bands B01, B02.")
    assert "On test: accuracy 1.0000." in described


def test_the_registered_bundle_is_that_of_the_export(do_register, bundle, tmp_path):
    do_register()
    client = tracking.client()
    (tmp_path / "here").mkdir()
    fetched = fetch_bundle(client, find_version(client, "bright/1"), tmp_path / "here")
    assert fetched.read_bytes() == bundle[0].read_bytes()
    model = open_model("models:/bright@challenger")
    assert (model.class_names, model.version) == (CLASSES, "1")


def test_pyfunc_loads_the_registered_model(do_register, bundle):
    import mlflow.pyfunc

    do_register(name="forests")
    loaded = mlflow.pyfunc.load_model("models:/forests@challenger")
    tiles = np.random.default_rng(0).integers(0, 200, (5, 8, 8, 2)).astype(np.uint16)
    found = loaded.predict(tiles)["probabilities"]
    np.testing.assert_array_equal(found, open_model(str(bundle[0])).predict(tiles))
    assert loaded.metadata.get_input_schema().input_types() == [np.dtype(np.uint16)]
    assert loaded.input_example.shape == (1, 8, 8, 2)
    with pytest.raises(mlflow.exceptions.MlflowException, match="schema"):
        loaded.predict(tiles.astype(np.float64))


def test_a_retried_step_registers_once(do_register, run_id):
    assert [do_register() for _ in range(3)] == ["bright/1"] * 3
    client = tracking.client()
    experiment = client.get_run(run_id).info.experiment_id
    assert len(client.search_model_versions("name='bright'")) == 1
    assert len(client.search_logged_models([experiment])) == 1


def test_an_attempt_that_was_killed_before_the_version_leaves_no_second_model(do_register, run_id, monkeypatch):
    from mlflow import MlflowClient

    def killed(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(MlflowClient, "create_model_version", killed)
        do_register()
    assert do_register() == "bright/1"
    client = tracking.client()
    assert len(client.search_logged_models([client.get_run(run_id).info.experiment_id])) == 1


# After the named calls of MLflow's client, in the order in which a registration makes them.
KILLED_AFTER = (
    "log_artifact",
    "create_logged_model",
    "log_model_artifacts",
    "finalize_logged_model",
    "create_registered_model",
    "create_model_version",
    "set_registered_model_alias",
)
KILLED = """
import json, os, signal, sys
from pathlib import Path
import mlflow.onnx, onnxruntime
from mlflow import MlflowClient
from tilepipe.components.register.config import RegisterConfig
from tilepipe.components.register.register import Lineage, register

run_id, bundle, sha256, calls = sys.argv[1], Path(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4])

def attempt(call):
    whole = getattr(MlflowClient, call)
    def killed(*arguments, **options):
        whole(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(MlflowClient, call, killed)
    register(RegisterConfig(mlflow_run_id=run_id), bundle, sha256, Lineage())

for call in calls:
    if not (child := os.fork()):  # before anything is connected to the database
        attempt(call)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(call, os.WTERMSIG(status) if os.WIFSIGNALED(status) else "not killed", flush=True)
"""


def test_a_registration_that_is_killed_between_its_steps_again_and_again_registers_once(do_register, bundle, run_id):
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        KILLED,
        run_id,
        str(bundle[0]),
        bundle[1],
        json.dumps(KILLED_AFTER),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"{call} 9" for call in KILLED_AFTER], done.stderr
    assert do_register() == "bright/1"
    client = tracking.client()
    (version,) = client.search_model_versions("name='bright'")
    assert find_version(client, "bright@challenger").version == 1
    assert client.get_logged_model(version.source.removeprefix("models:/")).status == "READY"
    models = client.search_logged_models([client.get_run(run_id).info.experiment_id])
    assert sum(model.status == "READY" for model in models) == 1, "no model is logged twice"


def test_two_attempts_at_once_leave_one_version(do_register, monkeypatch):
    from mlflow import MlflowClient
    from mlflow.store.model_registry.dbmodels.models import SqlRegisteredModelAlias

    neither_created = threading.Barrier(2)
    create = MlflowClient.create_model_version

    def create_together(self, *args, **kwargs):
        neither_created.wait(60)
        return create(self, *args, **kwargs)

    monkeypatch.setattr(MlflowClient, "create_model_version", create_together)
    registered = twice_at_once(monkeypatch, SqlRegisteredModelAlias, do_register)
    (left,) = tracking.client().search_model_versions("name='bright'")
    assert registered == [f"bright/{left.version}"] * 2
    assert find_version(tracking.client(), f"bright/{left.version}").aliases == ("challenger",)


def test_another_export_of_the_same_training_is_another_version(do_register, tmp_path):
    do_register()
    again = write_model_bundle(tmp_path / "again.tar.gz", name="bright", figures_json=b'{"test_accuracy": 0.5}')
    assert do_register(tmp_path / "again.tar.gz", again) == "bright/2"
    client = tracking.client()
    for number in (1, 2):  # the first bundle is still the one that was registered
        fetch_bundle(client, find_version(client, f"bright/{number}"), tmp_path)
    assert find_version(client, "bright@challenger").version == 2


def test_the_champion_stays(do_register, tmp_path):
    do_register()
    tracking.client().set_registered_model_alias("bright", version_tags.CHAMPION, "1")
    again = write_model_bundle(tmp_path / "again.tar.gz", name="bright", figures_json=b"{}")
    do_register(tmp_path / "again.tar.gz", again)
    assert find_version(tracking.client(), "bright@champion").version == 1


def test_figures_of_the_comparison_belong_to_the_onnx_model(do_register, tmp_path, run_id):
    parity = {"parity_max_difference": 1e-7, "parity_split": "val"}
    configuration = {"name": "bright", "dataset": {"digest": "0"}, "parity": parity}
    digest = write_model_bundle(tmp_path / "b.tar.gz", configuration_json=json.dumps(configuration).encode())
    do_register(tmp_path / "b.tar.gz", digest)
    client = tracking.client()
    (logged,) = client.search_logged_models([client.get_run(run_id).info.experiment_id])
    assert [(metric.key, metric.value) for metric in logged.metrics] == [("parity_max_difference", 1e-7)]


def test_an_untracked_training_is_not_registered(do_register, monkeypatch, caplog):
    assert do_register(mlflow_run_id="") == ""
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert do_register() == ""
    assert caplog.text.count("its model is not registered") == 2


def test_a_name_of_others_is_refused(do_register, run_id):
    client = tracking.client()
    client.create_registered_model("bright")
    client.create_model_version("bright", f"runs:/{run_id}/model", run_id=run_id)
    with pytest.raises(SourceError, match=r"name='bright', whose version 1 has no tag .* Give another `name`"):
        do_register()
    assert len(client.search_model_versions("name='bright'")) == 1


def test_a_changed_bundle_is_refused(do_register, bundle):
    with pytest.raises(ArtifactError, match="must have the SHA-256 0000"):
        do_register(sha256="0" * 64)
    content = bytearray(bundle[0].read_bytes())
    content[len(content) // 2] ^= 1
    bundle[0].write_bytes(content)
    with pytest.raises(ArtifactError, match="A bundle must"):
        do_register(sha256="")
    assert tracking.client().search_registered_models() == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"shape": (8, 8, 3)}, r"must take one input, `tiles`.*\(8, 8, 3\). Received: .*\(8, 8, 2\)"),
        ({"dtype": "uint8"}, "must take one input, `tiles`.*uint8"),
        ({"classes": ("Forest", "SeaLake")}, "must give one probability for each of 2 classes"),
    ],
)
def test_a_model_of_another_signature_is_refused(do_register, tmp_path, wrong, message):
    from tests.support.bundles import brightness_model

    path = tmp_path / "other.tar.gz"
    digest = write_model_bundle(path, manifest_for(**wrong), model_onnx=brightness_model(manifest_for()))
    with pytest.raises(ArtifactError, match=message):
        do_register(path, digest)


def test_a_deleted_run_is_named(do_register, run_id):
    tracking.client().delete_run(run_id)
    with pytest.raises(SourceError, match=rf"mlflow_run_id='{run_id}', which was deleted or is not there. Restore it"):
        do_register()
    with pytest.raises(SourceError, match="which was deleted"):
        do_register(mlflow_run_id="0" * 32)


def test_an_unreachable_registry_is_named(do_register, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(TrackingError, match="must be reachable at MLFLOW_TRACKING_URI to register bright"):
        do_register()


@pytest.mark.parametrize("name", ["a/b", "models:/x", "-x", "x" * 101])
def test_wrong_names_are_refused(do_register, name):
    with pytest.raises(ParameterError, match="name"):
        do_register(name=name)
