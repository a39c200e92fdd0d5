"""Manifests for KServe."""

import os
from pathlib import Path

import pytest
import yaml

from tests.support.bundles import write_model_bundle
from tests.support.packed import manifest_for
from tests.support.structural_schema import problems
from tilepipe.components.register.config import RegisterConfig
from tilepipe.components.register.register import Lineage, register
from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.shared.registry.registered_version import RegisteredVersion, find_version
from tilepipe.components.shared.registry.version_tags import BUNDLE_SHA256
from tilepipe.components.shared.tracking import tracking
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
