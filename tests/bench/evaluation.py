"""Evaluation: its processor time compared with that of reading the tiles and predicting them with Keras alone."""

import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np

from tests.bench.generated import CLASSES, Generated, write_tiles
from tests.support.measure import Figure
from tilepipe.components.evaluate.config import EvaluateConfig
from tilepipe.components.evaluate.evaluate import Inputs, Outputs, evaluate
from tilepipe.components.shared.contracts.history import LAST_EPOCH, History
from tilepipe.components.shared.contracts.manifest import SplitSummary, read_manifest
from tilepipe.components.shared.contracts.model_file import load_model
from tilepipe.components.shared.contracts.shard_tiles import read_tiles

_SHAPE, _DTYPE = (64, 64, 13), "uint16"
_SHARDS = 108
"""5,400 tiles."""
_ROUNDS = 2


def measure(scratch: Path) -> list[Figure]:
    """Measure an evaluation of the default network with all of its outputs, and the predictions that it needs."""
    with patch.dict(os.environ):
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        tiles = write_tiles(scratch / "tiles", shape=_SHAPE, dtype=_DTYPE, shards=_SHARDS)
        model_path, inputs = tiles.base_model("cnn"), _inputs(tiles)
        manifest = read_manifest(inputs.manifest)
        names = ("metrics", "confusion", "summary", "report", "predictions", "samples.npz")
        outputs = Outputs(*(scratch / "out" / name for name in names))
        batch_size = EvaluateConfig().batch_size

        def bare() -> None:
            # Not `predict`, whose copies of the tiles take longer than the evaluation.
            model = load_model(model_path, manifest)
            images = _read(tiles)
            while batch := list(itertools.islice(images, batch_size)):
                model.predict_on_batch(np.stack(batch))

        def ours() -> None:
            evaluate(EvaluateConfig(), inputs, outputs)

        ours(), bare()  # imports
        times = [(_seconds(ours), _seconds(bare)) for _ in range(_ROUNDS)]
    seconds, bare_seconds = (min(each) for each in zip(*times, strict=True))
    overhead = 100 * (seconds / bare_seconds - 1)
    return [
        Figure("evaluate.cpu", seconds, "s/5400 tiles"),
        Figure("evaluate.bare_predict_cpu", bare_seconds, "s/5400 tiles"),
        Figure("evaluate.overhead", overhead, "% of predict", "< 20", overhead < 20),
        Figure(
            "evaluate.report", outputs.report.stat().st_size / 1e6, "MB", "< 5", outputs.report.stat().st_size < 5e6
        ),
    ]


def _inputs(tiles: Generated) -> Inputs:
    """Call the training tiles test tiles."""
    empty = SplitSummary(tiles=0, tiles_per_class=dict.fromkeys(CLASSES, 0), shards=())
    splits = {"train": empty, "val": empty, "test": tiles.manifest.splits["train"]}
    manifest, history = tiles.folder / "test.json", tiles.folder / "history.json"
    tiles.manifest.model_copy(update={"splits": splits}).write(manifest)
    epoch = {"loss": 1.0, "accuracy": 0.5, "learning_rate": 0.001, "seconds": 1.0, "tiles_per_second": 1.0}
    History(metric=LAST_EPOCH, best_epoch=1, epochs=(epoch,)).write(history)
    return Inputs((), (tiles.shards,), manifest, tiles.base_model("cnn"), history)


def _read(tiles: Generated):
    for shard in tiles.manifest.splits["train"].shards:
        for tile in read_tiles(tiles.shards / shard.name, shard, tiles.manifest):
            yield tile.image.copy()


def _seconds(work: Callable[[], None]) -> float:
    started = time.process_time()  # of all threads; other load does not count
    work()
    return time.process_time() - started
