"""The compiled pipeline `promote` where the gate refuses: only an override makes the version champion."""

import json
import os
import subprocess
import sys

from tests.support.bundles import brightness_model
from tests.support.judged import biased, write_test_tiles
from tests.support.registry import NAME, register_version
from tilepipe.components.shared.contracts.manifest import read_manifest
from tilepipe.components.shared.registry.promotions import read_state
from tilepipe.components.shared.registry.version_tags import GATE, TEST_SHARDS
from tilepipe.components.shared.tracking import tracking


def run_promote(folder, *words):
    """Run the pipeline as a user does, with a floor that the model misses."""
    command = [sys.executable, "-W", "ignore", "-m", "tilepipe.pipelines.cli.app", "run", "promote"]
    command += [f"model_name={NAME}", 'gate_floors={"accuracy": 1}', *words]
    environment = {**os.environ, "COLUMNS": "200"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_refused_version_becomes_champion_on_a_persons_word(mlflow_store, tmp_path):
    client = tracking.client()
    packed = write_test_tiles(tmp_path / "data")
    manifest = read_manifest(packed / "manifest.json")
    content = {
        "manifest_json": manifest.model_dump_json().encode(),
        "model_onnx": biased(brightness_model(manifest), 40),
    }
    tags = {TEST_SHARDS: json.dumps([str(packed / "test")])}
    register_version(client, tmp_path, manifest=manifest, tags=tags, **content)

    done = run_promote(tmp_path)
    assert done.returncode == 2
    assert "Received: version 1, refused: accuracy must be at least 1" in done.stdout + done.stderr
    assert read_state(client, NAME).champion is None

    done = run_promote(tmp_path, "promote_override=true", "promote_reason=the customer asked for it")
    assert done.returncode == 0, done.stdout + done.stderr
    (entry,) = read_state(client, NAME).promotions
    assert (entry.to_version, entry.verdict, entry.why) == (1, "refused", "the customer asked for it")
    assert client.get_model_version(NAME, "1").tags[GATE] == "refused"
