"""The exported model beside Keras: answers, speed for many tiles and for one, and the time of the step."""

import io
import re
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.conftest import DATA
from tests.support.measure import Figure
from tilepipe.components.shared.contracts.manifest import Manifest, read_manifest
from tilepipe.components.shared.contracts.model_file import load_model
from tilepipe.components.shared.contracts.samples import read_samples
from tilepipe.components.shared.inference.bundle_model import open_model

_NETWORKS = {
    "cnn": ["train_epochs=3"],
    "efficientnet_lite0": ["train_epochs=1", "data_bands=B04,B03,B02"],
}
_ROUNDS = 5
_GOALS = {64: 1.5, 1: 5.0}
"""Tiles per batch -> times Keras' rate."""
_GOAL_DIFFERENCE = 1e-5
_GOAL_PROCESSOR_TIME = 1.1
"""Of `evaluate`'s predictions, times onnxruntime's."""
_GOAL_SECONDS = 20


def measure(scratch: Path) -> list[Figure]:
    """Train and export two networks on the sample, and compare their files."""
    tilepipe = str(Path(sys.executable).with_name("tilepipe"))
    sample = scratch / "sample"
    subprocess.run([tilepipe, "sample", str(sample), "--tiles-per-class", "60"], check=True, capture_output=True)
    figures = []
    for network, words in _NETWORKS.items():
        folder = scratch / network
        command = [tilepipe, "run", "train_classifier", f"data_source={sample / 'catalog.json'}", *words]
        command += [f"model_architecture={network}", "--folder", str(folder)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        seconds = re.search(r"^export +ok +([\d.]+) s", done.stdout, re.MULTILINE)
        if seconds is None:
            raise RuntimeError(f"no time of the export in: {done.stdout}")
        (root,) = folder.glob("train_classifier-*/train-classifier-*")
        figures += _compared(network, root)
        if network == "cnn":
            own = float(seconds[1])
            figures.append(Figure("export.seconds", own, "s", f"<= {_GOAL_SECONDS}", own <= _GOAL_SECONDS))
    return figures


def _compared(network: str, root: Path) -> list[Figure]:
    manifest = read_manifest(root / "merge-packed" / "manifest.json")
    keras_model = load_model(root / "train-model" / "model.keras", manifest).predict_on_batch
    onnx_model = open_model(str(root / "export-model" / "bundle.tar.gz")).predict
    tiles = _real_tiles(manifest)
    if tiles is None:
        tiles = read_samples(root / "evaluate-model" / "samples.npz", manifest).tiles
    difference = float(np.abs(keras_model(tiles) - onnx_model(tiles)).max())
    figures = [
        Figure(f"export.{network}.difference", difference, "", f"< {_GOAL_DIFFERENCE}", difference < _GOAL_DIFFERENCE)
    ]
    many = np.resize(tiles, (640, *manifest.tile_shape))
    for batch, goal in _GOALS.items():
        count = 640 if batch > 1 else 64
        rates = [
            (_rate(onnx_model, many[:count], batch), _rate(keras_model, many[:count], batch)) for _ in range(_ROUNDS)
        ]
        onnx, keras = (statistics.median(rate) for rate in zip(*rates, strict=True))
        figures += [
            Figure(f"export.{network}.batch_{batch}.onnx", onnx, "tiles/s"),
            Figure(f"export.{network}.batch_{batch}.keras", keras, "tiles/s"),
            Figure(f"export.{network}.batch_{batch}.times", onnx / keras, "times", f">= {goal}", onnx / keras >= goal),
        ]
    return [*figures, _evaluated(network, root, manifest, onnx_model, many)]


def _evaluated(network: str, root: Path, manifest: Manifest, onnx_model: Callable[[Any], Any], tiles: Any) -> Figure:
    """Compare the processor time of predictions as `evaluate` makes them with that of onnxruntime."""
    model = load_model(root / "train-model" / "model.keras", manifest)
    from tilepipe.components.shared.layers.fused_norm import fused_normalization

    with fused_normalization(model):
        pairs = [
            [_seconds(each, tiles, 64, time.process_time) for each in (model.predict_on_batch, onnx_model)]
            for _ in range(_ROUNDS)
        ]
    times = statistics.median(ours / other for ours, other in pairs)
    return Figure(
        f"evaluate.{network}.processor_time",
        times,
        "times onnxruntime's",
        f"<= {_GOAL_PROCESSOR_TIME}",
        times <= _GOAL_PROCESSOR_TIME,
    )


def _rate(model: Callable[[Any], Any], tiles: Any, batch: int) -> float:
    return len(tiles) / _seconds(model, tiles, batch, time.perf_counter)


def _seconds(model: Callable[[Any], Any], tiles: Any, batch: int, clock: Callable[[], float]) -> float:
    """Return the seconds for all tiles, after a first batch: by `process_time`, other load does not count."""
    model(tiles[:batch])
    started = clock()
    for start in range(0, len(tiles), batch):
        model(tiles[start : start + batch])
    return clock() - started


def _real_tiles(manifest: Manifest) -> Any:
    """Return 100 real Sentinel-2 tiles with the first bands of their files, or None where they are absent."""
    import tifffile

    path = DATA / "eurosat-ms100" / "eurosat-ms100.tar"
    if not path.is_file():
        return None
    with tarfile.open(path) as archive:
        files = [member for member in archive if member.isfile() and member.name.endswith(".tif")]
        pictures = [tifffile.imread(io.BytesIO(archive.extractfile(member).read())) for member in files]
    tiles = np.stack([np.moveaxis(picture, 0, -1) if len(picture) == 13 else picture for picture in pictures])
    return np.ascontiguousarray(tiles[..., : len(manifest.bands)]).astype(manifest.dtype)
