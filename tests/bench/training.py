"""Training on two cores: its step compared with Keras' own, its input, the work around the steps, and streaming.

Run as a module, `bare MODEL MANIFEST STEPS` trains that many steps with plain Keras per line that it reads, and prints
tiles per second; `stream FOLDER` reads one epoch of streamed batches, and prints tiles per second and its peak memory.
"""

import contextlib
import itertools
import logging
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from tests.bench import training_costs
from tests.bench.generated import SHARD_TILES, Generated, write_tiles
from tests.bench.peak import own_peak, peak_of
from tests.support.measure import ROOT, Figure
from tilepipe.components.shared.contracts.manifest import read_manifest
from tilepipe.components.shared.contracts.model_file import load_model, load_tensorflow
from tilepipe.components.train.config import TrainConfig

_MULTISPECTRAL, _RGB = ((64, 64, 13), "uint16"), ((64, 64, 3), "uint8")
_SHARDS = 128
"""650 MiB of multispectral tiles; a quarter of them already fills ten streamed windows."""
_WINDOW_MEBIBYTES = 16
_BATCH_SIZE = TrainConfig().batch_size
_WARM_UP_STEPS = 3
_STARTS = 5


@dataclass(frozen=True)
class _Speed:
    train: float
    """Tiles per second."""
    bare: float
    of_bare: float


def measure(scratch: Path) -> list[Figure]:
    """Measure with generated tiles and the defaults of `prepare` and `train`; each speed has its baseline beside it."""
    with patch.dict(os.environ):
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        tiles = write_tiles(scratch / "tiles", shape=_MULTISPECTRAL[0], dtype=_MULTISPECTRAL[1], shards=_SHARDS)
        streamed = _streaming(tiles, tiles.first(_SHARDS // 4))
        photographs = write_tiles(scratch / "rgb", shape=_RGB[0], dtype=_RGB[1], shards=_SHARDS // 4)
        cnn = _speed(tiles, "cnn", steps=60, epochs=4)
        others = {
            name: _speed(photographs, name, steps=steps, epochs=3)
            for name, steps in (("compact", 12), ("efficientnet_lite0", 12))
        }
        rate, _ = _input(tiles)
    times = rate / cnn.train
    return [
        Figure("train.step.rate", cnn.train, "tiles/s"),
        Figure("train.step.bare_keras_rate", cnn.bare, "tiles/s"),
        *(
            Figure(f"train.step{name}.of_bare_keras", speed.of_bare, "of the rate", ">= 0.97", speed.of_bare >= 0.97)
            for name, speed in {"": cnn, **{f".{name}": speed for name, speed in others.items()}}.items()
        ),
        Figure("train.input.rate", rate, "tiles/s"),
        Figure("train.input.over_default_model", times, "times", ">= 5", times >= 5),
        *training_costs.measure(scratch, tiles, cnn.train / _BATCH_SIZE * 60),
        *streamed,
    ]


def _speed(tiles: Generated, architecture: str, *, steps: int, epochs: int) -> _Speed:
    """Measure the steps of `train` and plain Keras steps in alternate epochs, so that other load slows both.

    The start of an epoch is left out, since these epochs are far shorter than real ones; `training_costs` measures it.

    `train` may be the faster one: the plain step of Keras does not use TensorFlow's fused batch normalization.
    """
    tiles = tiles.first(-(-steps * _BATCH_SIZE // SHARD_TILES))
    base_model, rates = tiles.base_model(architecture), []
    bare_keras = _bare_keras(base_model, tiles.manifest_path, steps)
    with bare_keras as bare, _after_each_epoch(lambda: rates.append(bare())):
        trained = tiles.train(base_model, epochs=epochs)
    start = _input(tiles)[1]
    # The first epoch includes building the graph and starting the other process.
    seconds = [steps * _BATCH_SIZE / epoch["tiles_per_second"] - start for epoch in trained.history.epochs[1:]]
    ours = [steps * _BATCH_SIZE / each for each in seconds]
    beside = [(before + after) / 2 for before, after in itertools.pairwise(rates)]
    of_bare = statistics.median(one / other for one, other in zip(ours, beside, strict=True))
    return _Speed(statistics.median(ours), statistics.median(rates), of_bare)


@contextlib.contextmanager
def _after_each_epoch(act: Callable[[], object]) -> Iterator[None]:
    """Call a function between two epochs of a training, right after the log line of the first one."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "tiles per second" in record.getMessage():
                act()

    logger, handler = logging.getLogger("tilepipe.train"), Handler()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


@contextlib.contextmanager
def _bare_keras(model: Path, manifest: Path, steps: int) -> Iterator[Callable[[], float]]:
    """Yield a function that measures tiles per second; in another process: `train` changes TensorFlow settings."""
    command = [sys.executable, "-m", "tests.bench.training", "bare", str(model), str(manifest), str(steps)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        commands, answers = process.stdin, process.stdout

        def measure() -> float:
            commands.write("\n")
            commands.flush()
            return float(answers.readline())

        try:
            yield measure
        finally:
            commands.close()


def _bare(model_path: Path, manifest_path: Path, steps: int) -> None:
    load_tensorflow()
    import numpy as np
    import tensorflow as tf

    manifest = read_manifest(manifest_path)
    model = load_model(model_path, manifest)
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 250, (_BATCH_SIZE, *manifest.tile_shape)).astype(manifest.dtype)
    labels = np.eye(len(manifest.class_names), dtype=np.float32)[rng.integers(0, 10, _BATCH_SIZE)]
    batch = tf.data.Dataset.from_tensors((images, labels)).repeat()  # the same two tensors each time
    model.make_train_function()
    batches, step = iter(batch), model.train_function
    for _ in range(_WARM_UP_STEPS):
        step(batches)
    for _ in sys.stdin:
        started = time.perf_counter()
        for _ in range(steps):
            step(batches)
        print(steps * _BATCH_SIZE / (time.perf_counter() - started), flush=True)


def _input(tiles: Generated) -> tuple[float, float]:
    """Tiles per second of batches without training on them or starting an epoch; and the seconds of that start."""
    rates, starts = [], []
    with tiles.batches(TrainConfig()) as batches:
        for epoch in range(_STARTS):
            began = time.perf_counter()
            each = iter(batches.train(epoch))
            next(each)
            started = time.perf_counter()
            done = sum(1 for _ in each)
            rates.append(done * _BATCH_SIZE / (time.perf_counter() - started))
            starts.append(started - began)
    return statistics.median(rates), statistics.median(starts)


def _streaming(many: Generated, few: Generated) -> list[Figure]:
    """Measure the peak memory of processes that stream the tiles, and four times as many."""
    found = [peak_of("tests.bench.training", "stream", str(each.folder)) for each in (few, many)]
    growth = found[1].peak_bytes / found[0].peak_bytes
    return [
        Figure("train.stream.rate", float(found[1].lines[-1]), "tiles/s"),
        Figure("train.stream.peak_memory", found[1].peak_bytes / 2**20, "MiB"),
        Figure("train.stream.memory_growth", growth, "times", "<= 1.10", growth <= 1.10),
    ]


def _stream(folder: Path) -> None:
    load_tensorflow()
    tiles = Generated(folder, read_manifest(folder / "manifest.json"))
    config = TrainConfig.parse(options={"placement": "streamed", "window_mebibytes": _WINDOW_MEBIBYTES})
    with tiles.opened(config) as opened:
        started = time.perf_counter()
        for _ in opened.shuffled(0):
            pass
        print(opened.steps * _BATCH_SIZE / (time.perf_counter() - started))


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    if what == "bare":
        _bare(Path(arguments[0]), Path(arguments[1]), int(arguments[2]))
    else:
        _stream(Path(arguments[0]))
        own_peak()
