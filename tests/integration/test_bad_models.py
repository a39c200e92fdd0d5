"""Bad models and registries as the steps of a pipeline meet them: one message and exit code 2."""

import json
import logging

import pytest
from kfp import dsl

from tests.support.bundles import brightness_model, write_model_bundle
from tests.support.judged import write_test_tiles
from tests.support.loopback_server import LoopbackServer, QuietHandler
from tests.support.packed import manifest_for
from tests.support.registry import NAME, register_version
from tilepipe.components.gate.component import gate_model
from tilepipe.components.promote.component import promote_model
from tilepipe.components.register.component import register_model
from tilepipe.components.shared.contracts.manifest import read_manifest
from tilepipe.components.shared.registry.version_tags import BUNDLE_SHA256, TEST_SHARDS
from tilepipe.components.shared.tracking import tracking


@pytest.fixture
def client(mlflow_store):
    """Client of a real MLflow store that `MLFLOW_TRACKING_URI` names."""
    return tracking.client()


@pytest.fixture
def run_id(client):
    """Id of the MLflow run of a training."""
    return client.create_run(client.create_experiment("trainings")).info.run_id


@pytest.fixture
def stop(capsys, monkeypatch, tmp_path):
    """Function that runs a step, checks its exit code, and returns what it printed."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    def stop(component, **arguments):
        with pytest.raises(SystemExit) as end:
            component.python_func(**arguments)
        printed = capsys.readouterr().err
        assert end.value.code == 2, printed
        assert "Traceback" not in printed
        return printed

    yield stop
    for handler in [one for one in logging.getLogger().handlers if type(one) is logging.StreamHandler]:
        logging.getLogger().removeHandler(handler)  # of the step; its stream ends with `capsys`


@pytest.fixture
def do_register(stop, tmp_path, run_id):
    """Function that runs `register` on a bundle, which must fail; returns what it printed."""

    def do_register(bundle, digest):
        return stop(
            register_model,
            bundle=dsl.Model(uri=str(bundle), metadata={"sha256": digest}),
            manifest=dsl.Artifact(uri=str(tmp_path / "m")),
            predictions=dsl.Dataset(uri=str(tmp_path / "p")),
            mlflow_run_id=run_id,
            name=NAME,
        )

    return do_register


@pytest.fixture
def gate_outputs(tmp_path):
    """Outputs of the gate."""
    return {"verdict": dsl.Artifact(uri=str(tmp_path / "verdict")), "page": dsl.HTML(uri=str(tmp_path / "page"))}


@pytest.fixture
def history(tmp_path):
    """Output of `promote`."""
    return dsl.Markdown(uri=str(tmp_path / "history"))


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ({"shape": (8, 8, 3)}, "must take one input, `tiles`"),
        ({"shape": (16, 8, 2)}, "must take one input, `tiles`"),
        ({"dtype": "uint8"}, "must take one input, `tiles`"),
        ({"classes": ("Forest", "SeaLake")}, "must give one probability for each of 2 classes"),
    ],
    ids=["bands", "size", "dtype", "classes"],
)
def test_a_signature_that_is_not_that_of_the_tiles(do_register, tmp_path, manifest, message):
    bundle = tmp_path / "bundle.tar.gz"
    digest = write_model_bundle(bundle, manifest_for(**manifest), model_onnx=brightness_model(manifest_for()))
    assert message in do_register(bundle, digest)


def test_a_bundle_that_was_tampered_with(do_register, stop, client, tmp_path, gate_outputs, history):
    bundle = tmp_path / "bundle.tar.gz"
    write_model_bundle(bundle)
    assert "must have the SHA-256 0000" in do_register(bundle, "0" * 64)
    register_version(client, tmp_path, tags={BUNDLE_SHA256: "0" * 64})
    message = "The bundle of models:/forests/1 must be the one that was registered"
    assert message in stop(gate_model, name=NAME, **gate_outputs)
    assert message in stop(promote_model, name=NAME, history=history, override=True, reason="in a hurry")


def test_a_registered_model_that_is_not_tilepipes(do_register, stop, client, run_id, tmp_path, gate_outputs, history):
    client.create_registered_model(NAME)
    client.create_model_version(NAME, f"runs:/{run_id}/model", run_id=run_id)
    bundle = tmp_path / "bundle.tar.gz"
    assert "whose version 1 has no tag tilepipe.bundle_sha256" in do_register(bundle, write_model_bundle(bundle))
    message = "A registered model must be one that `register` made. Received: models:/forests/1"
    assert message in stop(gate_model, name=NAME, version="1", **gate_outputs)
    assert message in stop(promote_model, name=NAME, version="1", history=history, override=True, reason="it is good")


class Denied(QuietHandler):
    """Refuses whatever is asked."""

    def answer(self):
        """Answer with 403."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(403)
        self.end_headers()
        self.wfile.write(b"not for you")

    do_GET = do_POST = do_PUT = answer


@pytest.mark.parametrize("is_there", [False, True], ids=["away", "refusing"])
def test_a_registry_that_is_away_or_refuses(do_register, stop, tmp_path, gate_outputs, history, monkeypatch, is_there):
    server = LoopbackServer(Denied)
    if not is_there:
        server.close()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    bundle = tmp_path / "bundle.tar.gz"
    printed = [
        do_register(bundle, write_model_bundle(bundle)),
        stop(gate_model, name=NAME, **gate_outputs),
        stop(promote_model, name=NAME, history=history, override=True, reason="it is good"),
    ]
    if is_there:
        server.close()
    tasks = ("register forests", "find forests@challenger", "find forests@challenger")
    for text, task in zip(printed, tasks, strict=True):
        assert f"MLflow must be reachable at MLFLOW_TRACKING_URI to {task}. Received: http://127.0.0.1:" in text
        assert ("not for you" in text) == is_there


def test_an_alias_that_was_moved_meanwhile(stop, client, tmp_path, history, monkeypatch):
    for _ in range(2):
        register_version(client, tmp_path)
    set_tag = type(client).set_registered_model_tag

    def move_too(self, name, key, value):
        set_tag(self, name, key, value)
        client.set_registered_model_alias(NAME, "champion", "1")

    monkeypatch.setattr(type(client), "set_registered_model_tag", move_too)
    printed = stop(promote_model, name=NAME, history=history, override=True, reason="it is good")
    assert "the alias was moved without tilepipe, from no version to version 1. Nothing was changed" in printed


def test_a_class_without_test_tiles(stop, client, tmp_path, gate_outputs, history):
    packed = write_test_tiles(tmp_path / "data", present=2)
    manifest = read_manifest(packed / "manifest.json")
    content = {"manifest_json": manifest.model_dump_json().encode(), "model_onnx": brightness_model(manifest)}
    tags = {TEST_SHARDS: json.dumps([str(packed / "test")])}
    register_version(client, tmp_path, manifest=manifest, tags=tags, **content)
    gate_model.python_func(name=NAME, floors={"recall[Industrial]": 0.5}, **gate_outputs)
    assert gate_outputs["verdict"].metadata["outcome"] == "undecided"
    message = "undecided: recall[Industrial] must be at least 0.5, but there are no test tiles for it."
    assert message in stop(promote_model, name=NAME, history=history)
