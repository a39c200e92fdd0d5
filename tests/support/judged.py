"""Test tiles and models for the gate."""

from pathlib import Path

import numpy as np

from tests.support.packed import CLASSES, manifest_for, shard_of
from tilepipe.components.shared.contracts.manifest import Shard, SplitSummary
from tilepipe.components.shared.records.example import frame_example

TEST_TILES = 60


def write_test_tiles(folder: Path, present: int = len(CLASSES)) -> Path:
    """Write a packed data set with 60 test tiles, of the first classes, in two shards; returns the folder."""
    empty = SplitSummary(tiles=0, tiles_per_class=dict.fromkeys(CLASSES, 0), shards=())
    shards = [write_shard(folder / "test", number, present) for number in range(2)]
    per_class = {name: TEST_TILES // present if index < present else 0 for index, name in enumerate(CLASSES)}
    test = SplitSummary(tiles=TEST_TILES, tiles_per_class=per_class, shards=tuple(shards))
    manifest_for(splits={"train": empty, "val": empty, "test": test}).write(folder / "manifest.json")
    return folder


def write_shard(folder: Path, number: int, present: int) -> Shard:
    """Write half of the test tiles, whose classes differ in brightness; a tile's id ends with its label."""
    folder.mkdir(parents=True, exist_ok=True)
    random, content = np.random.default_rng(number), b""
    for index in range(TEST_TILES // 2):
        label = index % present
        pixels = random.normal(60 + 60 * label, 20, (8, 8, 2)).clip(0, 255).astype(np.uint16)
        content += b"".join(
            bytes(part)
            for part in frame_example(pixels.reshape(-1).view(np.uint8), label, f"test/{number}-{index:03d}-{label}")
        )
    (folder / f"test-{number}.tfrecord").write_bytes(content)
    return shard_of(f"test-{number}.tfrecord", content, TEST_TILES // 2)


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
