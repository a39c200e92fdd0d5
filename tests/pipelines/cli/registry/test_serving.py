"""Manifests for KServe, and the answers of MLflow's scoring server for the same model."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.support.bundles import write_model_bundle
from tests.support.packed import manifest_for
from tests.support.servers import wait_for
from tests.support.structural_schema import problems
from tilepipe.components.register.config import RegisterConfig
from tilepipe.components.register.register import Lineage, register
from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.shared.inference.bundle_model import open_model
from tilepipe.components.shared.registry.registered_version import RegisteredVersion, find_version
from tilepipe.components.shared.registry.version_tags import BUNDLE_SHA256
from tilepipe.components.shared.runtime import tracking
from tilepipe.pipelines.cli.registry.serving import inference_service, kubernetes_name, storage_uri

VERSION = RegisteredVersion("EuroSAT_RGB (cnn)", 3, "r", {BUNDLE_SHA256: "a" * 64}, ())
CRD = os.environ.get("TILEPIPE_KSERVE_CRD", "")
"""Path of KServe's own serving.kserve.io_inferenceservices.yaml (config/crd/full)."""


def test_the_manifest_is_what_kserve_documents_for_mlflow():
    manifest = inference_service(VERSION, "s3://models/1", namespace="eo")
    assert (manifest["apiVersion"], manifest["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    assert manifest["metadata"]["name"] == "eurosat-rgb-cnn"
    assert manifest["metadata"]["annotations"]["tilepipe/version"] == "3"
    predictor = manifest["spec"]["predictor"]
    assert predictor["serviceAccountName"] == "tilepipe-serving"
    model = predictor["model"]
    assert (model["modelFormat"], model["protocolVersion"], model["storageUri"]) == (
        {"name": "mlflow"},
        "v2",
        "s3://models/1",
    )
    plain = inference_service(VERSION, "s3://models/1", name="other", service_account="")
    assert (plain["metadata"]["name"], "namespace" in plain["metadata"]) == ("other", False)
    assert "serviceAccountName" not in plain["spec"]["predictor"]


@pytest.mark.skipif(not CRD, reason="TILEPIPE_KSERVE_CRD does not name the CRD of KServe")
def test_kserve_understands_every_field():
    crd = yaml.safe_load(Path(CRD).read_text(encoding="utf-8"))
    (schema,) = [v["schema"]["openAPIV3Schema"] for v in crd["spec"]["versions"] if v["name"] == "v1beta1"]
    manifest = inference_service(VERSION, "s3://models/1", namespace="eo")
    assert problems(manifest, schema) == []
    manifest["spec"]["predictor"]["model"]["storageURI"] = "s3://models/1"
    assert problems(manifest, schema) == [".spec.predictor.model: there is no field storageURI"]


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("forests", "forests"),
        ("2026 lakes", "model-2026-lakes"),
        ("Ä", "model"),
        ("a" * 70, "a" * 50),
        ("a.b_c-", "a-b-c"),
    ],
)
def test_names_of_services_follow_kubernetes(model, name):
    assert kubernetes_name(model) == name


@pytest.mark.parametrize("name", ["A", "1a", "a-", "a" * 51, "a.b"])
def test_other_names_are_refused(name):
    with pytest.raises(ParameterError, match="Received: --service-name"):
        inference_service(VERSION, "s3://models/1", name=name)


@pytest.fixture
def registered(mlflow_store, tmp_path):
    """Manifest of the tiles of a version that `register` made."""
    run_id = tracking.open_run("tests", "a training", {})
    manifest = manifest_for()
    sha256 = write_model_bundle(tmp_path / "bundle.tar.gz", manifest)
    config = RegisterConfig.parse(mlflow_run_id=run_id, name="forests")
    assert register(config, tmp_path / "bundle.tar.gz", sha256, Lineage()) == "forests/1"
    yield manifest
    tracking.adopt_run(tracking.UNTRACKED)


def test_the_address_is_one_that_kserve_reads(registered):
    client = tracking.client()
    version = find_version(client, "forests/1")
    with pytest.raises(ParameterError, match=r"KServe reads models from s3://.* Received: models:/forests/1 at"):
        storage_uri(client, version, "s3://bucket")


def test_the_scoring_server_of_mlflow_gives_the_answers_of_the_bundle(registered, tmp_path):
    tiles = np.random.default_rng(1).integers(0, 250, (5, *registered.tile_shape)).astype(registered.dtype)
    expected = open_model("models:/forests/1").predict(tiles)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-W", "ignore", "-m", "mlflow", "models", "serve", "-m", "models:/forests/1"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # the command starts `uvicorn`
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=tmp_path, env={**os.environ, "PATH": path}, start_new_session=True
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/ping", server, tmp_path / "log", "MLflow's scoring server")
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations",
            json.dumps({"inputs": tiles.tolist()}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            predictions = json.load(answer)["predictions"]
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)
    found = predictions["probabilities"] if isinstance(predictions, dict) else predictions
    np.testing.assert_allclose(np.array(found, np.float32), expected, atol=1e-6)
