"""A registry with a champion and challengers whose test tiles are on the disk."""

import json

import pytest

from tests.support.bundles import brightness_model
from tests.support.judged import biased, write_test_tiles
from tests.support.registry import register_version
from tilepipe.components.gate.config import GateConfig
from tilepipe.components.gate.gate import Outputs, gate
from tilepipe.components.shared.contracts.manifest import read_manifest
from tilepipe.components.shared.registry.version_tags import DATASET_DIGEST, TEST_SHARDS
from tilepipe.components.shared.tracking import tracking


@pytest.fixture
def client(mlflow_store):
    """Client of a real MLflow store that `MLFLOW_TRACKING_URI` names."""
    return tracking.client()


@pytest.fixture(scope="session")
def packed(tmp_path_factory):
    """Folder of a packed data set with 60 test tiles in two shards."""
    return write_test_tiles(tmp_path_factory.mktemp("packed") / "data")


@pytest.fixture
def version(client, tmp_path, packed):
    """Function that registers a version; `wrong` makes it worse, `manifest` is its data set's."""

    def register(wrong=0.0, manifest=None, tags=None, folders=None, **files) -> int:
        manifest = manifest or read_manifest(packed / "manifest.json")
        shards = json.dumps([str(packed / "test")] if folders is None else folders)
        content = {
            "manifest_json": manifest.model_dump_json().encode(),
            "model_onnx": biased(brightness_model(manifest), wrong),
        }
        facts = {TEST_SHARDS: shards, DATASET_DIGEST: manifest.digest, **(tags or {})}
        return register_version(client, tmp_path, manifest=manifest, tags=facts, **{**content, **files})

    return register


@pytest.fixture
def judge(tmp_path):
    """Function that runs the gate; returns the judgement, the verdict's JSON and the page."""

    def run(version="challenger", **parameters):
        outputs = Outputs(tmp_path / "out" / "verdict.json", tmp_path / "out" / "page.html")
        outputs.verdict.parent.mkdir(exist_ok=True)
        found = gate(GateConfig.parse(name="forests", version=str(version), **parameters), outputs)
        return found, json.loads(outputs.verdict.read_text()), outputs.page.read_text().replace("<wbr>", "")

    return run
