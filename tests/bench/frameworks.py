"""Processor time of training steps beside that of the same layers in PyTorch with channels last, on the same cores.

Both frameworks train in alternate rounds, each in its own process. Processor time, unlike the time that passes, hardly
depends on the load of the machine. PyTorch gets an environment of its own (`torch_requirements.txt`).

Run as a module with `MODEL MANIFEST`, it makes as many training steps as each line that it reads says, and prints
processor seconds per tile.
"""

import contextlib
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.bench.generated import CLASSES, write_tiles
from tests.bench.step_times import answer_requests
from tests.support.environments import python_with
from tests.support.measure import ROOT, Figure
from tilepipe.components.shared.contracts.manifest import read_manifest
from tilepipe.components.shared.contracts.model_file import load_model, load_tensorflow
from tilepipe.components.train.config import TrainConfig

_HERE = Path(__file__).parent
_ROUNDS = 7
_PASSIVE = {"OMP_WAIT_POLICY": "passive"}
"""Threads of PyTorch that wait busily would cost it more processor time."""


@dataclass(frozen=True)
class _Compared:
    network: str
    shape: tuple[int, int, int]
    dtype: str
    steps: int
    """Per round."""
    floor: float
    options: Mapping[str, int]


_NETWORKS = (
    _Compared("cnn", (64, 64, 13), "uint16", 20, 0.85, {}),
    _Compared("compact", (64, 64, 3), "uint8", 8, 0.9, {}),
    _Compared("efficientnet_lite0", (64, 64, 3), "uint8", 4, 1.0, {"input_size_pixels": 96}),
)


def measure(scratch: Path) -> list[Figure]:
    """Measure the networks one after another."""
    torch = python_with("torch", _HERE / "torch_requirements.txt")
    figures = []
    for each in _NETWORKS:
        tiles = write_tiles(scratch / each.network, shape=each.shape, dtype=each.dtype, shards=1)
        model = tiles.base_model(each.network, **each.options)
        ours = [sys.executable, "-m", "tests.bench.frameworks", str(model), str(tiles.manifest_path)]
        theirs = [str(torch), str(_HERE / "torch_networks.py"), each.network]
        with _worker(ours, {}) as our_seconds, _worker(theirs, _PASSIVE) as their_seconds:
            rounds = [(our_seconds(each.steps), their_seconds(each.steps)) for _ in range(_ROUNDS)]
        cost = statistics.median(one for one, _ in rounds)
        ratio = statistics.median(other / one for one, other in rounds)
        figures += [
            Figure(f"train.step.{each.network}.cpu", cost * 1000, "ms per tile"),
            Figure(
                f"train.step.{each.network}.torch_cpu", ratio, "times ours", f">= {each.floor}", ratio >= each.floor
            ),
        ]
    return figures


@contextlib.contextmanager
def _worker(command: list[str], environment: Mapping[str, str]) -> Iterator[Callable[[int], float]]:
    """Start a process, and yield a function from a number of steps to their processor seconds per tile."""
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **environment}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        commands, answers = process.stdin, process.stdout
        answers.readline()  # that it is ready

        def seconds(steps: int) -> float:
            commands.write(f"{steps}\n")
            commands.flush()
            return float(answers.readline())

        try:
            yield seconds
        finally:
            commands.close()


def _train(model_path: Path, manifest_path: Path) -> None:
    """Make the steps of `train` on the same batch each time."""
    load_tensorflow()
    import keras
    import numpy as np
    import tensorflow as tf

    from tilepipe.components.shared.layers.fused_norm import fused_normalization
    from tilepipe.components.train.optimization.losses import make_loss
    from tilepipe.components.train.optimization.optimizers import make_optimizer

    manifest, config = read_manifest(manifest_path), TrainConfig()
    model = load_model(model_path, manifest)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 250, (config.batch_size, *manifest.tile_shape)).astype(manifest.dtype)
    labels = np.eye(len(CLASSES), dtype=np.float32)[rng.integers(0, len(CLASSES), config.batch_size)]
    batches = iter(tf.data.Dataset.from_tensors((images, labels)).repeat())
    with fused_normalization(model):
        model.compile(
            make_optimizer(config.optimizer, config.learning_rate, config.options),
            make_loss(config.options),
            metrics=[keras.metrics.CategoricalAccuracy()],
            jit_compile=False,
            auto_scale_loss=False,
        )
        model.make_train_function()

        def step() -> float:
            return float(model.train_function(batches)["loss"])

        answer_requests(step, config.batch_size)


if __name__ == "__main__":
    _train(Path(sys.argv[1]), Path(sys.argv[2]))
