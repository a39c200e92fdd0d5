"""A registry with a champion and challengers whose test tiles are on the disk."""

import json
from pathlib import Path

import numpy as np
import pytest
import xxhash

from tests.support.bundles import brightness_model
from tests.support.packed import CLASSES, manifest_for
from tests.support.registry import register_version
from tilepipe.components.gate.config import GateConfig
from tilepipe.components.gate.gate import Outputs, gate
from tilepipe.components.shared.contracts.manifest import Shard, SplitSummary, read_manifest
from tilepipe.components.shared.records.example import frame_example
from tilepipe.components.shared.registry.version_tags import DATASET_DIGEST, TEST_SHARDS
from tilepipe.components.shared.runtime import tracking

TEST_TILES = 60


@pytest.fixture
def client(mlflow_store):
    """Client of a real MLflow store that `MLFLOW_TRACKING_URI` names."""
    return tracking.client()


@pytest.fixture(scope="session")
def packed(tmp_path_factory):
    """Folder of a packed data set with 60 test tiles in two shards."""
    folder = tmp_path_factory.mktemp("packed") / "data"
    empty = SplitSummary(tiles=0, tiles_per_class=dict.fromkeys(CLASSES, 0), shards=())
    shards = [write_shard(folder / "test", number) for number in range(2)]
    per_class = dict.fromkeys(CLASSES, TEST_TILES // 3)
    test = SplitSummary(tiles=TEST_TILES, tiles_per_class=per_class, shards=tuple(shards))
    manifest_for(splits={"train": empty, "val": empty, "test": test}).write(folder / "manifest.json")
    return folder


def write_shard(folder: Path, number: int) -> Shard:
    """Write half of the test tiles, whose classes differ in brightness; a tile's id ends with its label."""
    folder.mkdir(parents=True, exist_ok=True)
    random, content = np.random.default_rng(number), b""
    for index in range(TEST_TILES // 2):
        label = index % len(CLASSES)
        pixels = random.normal(60 + 60 * label, 20, (8, 8, 2)).clip(0, 255).astype(np.uint16)
        content += b"".join(
            bytes(part)
            for part in frame_example(pixels.reshape(-1).view(np.uint8), label, f"test/{number}-{index:03d}-{label}")
        )
    (folder / f"test-{number}.tfrecord").write_bytes(content)
    return Shard(
        name=f"test-{number}.tfrecord",
        tiles=TEST_TILES // 2,
        bytes=len(content),
        checksum=xxhash.xxh3_128_hexdigest(content),
    )


def biased(content: bytes, wrong: float) -> bytes:
    """Return a model that takes part of the darkest class for the next one, the more the larger `wrong`."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load_from_string(content)
    for initializer in model.graph.initializer:
        if initializer.name == "bias":
            shifted = numpy_helper.to_array(initializer) + np.array([-wrong, 0, 0], np.float32)
            initializer.CopyFrom(numpy_helper.from_array(shifted, "bias"))
    return bytes(model.SerializeToString())


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
