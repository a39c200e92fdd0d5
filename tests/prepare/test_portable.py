"""The model loads without tilepipe, and uses only what every Keras backend has."""

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.support.packed import manifest_for
from tilepipe.components import prepare
from tilepipe.components.prepare.config import ModelOptions
from tilepipe.components.prepare.networks.architectures import build_model

OPTIONS = {"indices": ("NDVI", "EVI", "ND(B05,B06)"), "input_size_pixels": 40, "regularizer": "l2", "head_units": (8,)}
ELSEWHERE = """
import sys, keras, numpy
model = keras.saving.load_model("model.keras")
numpy.save("found.npy", keras.ops.convert_to_numpy(model(numpy.load("tiles.npy"))))
assert len(model.losses) > 1
assert not any(name.startswith("tilepipe") for name in sys.modules)
assert keras.backend.backend() == "tensorflow" or "tensorflow" not in sys.modules
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    model = build_model("compact", manifest_for((20, 16, 12), "int16"), ModelOptions(**OPTIONS))
    tiles = np.random.default_rng(0).integers(-200, 4000, (3, 20, 16, 12)).astype("int16")
    tiles[0] = 0
    np.save(folder / "tiles.npy", tiles)
    model.save(folder / "model.keras")
    return folder, keras.ops.convert_to_numpy(model(tiles))


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_the_saved_model_loads_without_tilepipe(saved, backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    folder, probabilities = saved
    environment = {**os.environ, "KERAS_BACKEND": backend, "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    # Another backend's convolutions add in another order.
    assert np.allclose(np.load(folder / "found.npy"), probabilities, atol=0 if backend == "tensorflow" else 1e-4)


def test_no_module_of_the_step_imports_a_backend():
    for path in Path(prepare.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {"tensorflow", "jax", "torch"} & {name.partition(".")[0] for name in names}, path.name


@pytest.mark.parametrize("architecture", ["cnn", "compact", "efficientnet_lite0"])
def test_layers_are_keras_own(architecture):
    model = build_model(architecture, manifest_for((16, 16, 12)), ModelOptions(indices=("NDVI", "EVI")))
    nested = [inner for layer in model.layers for inner in getattr(layer, "layers", [])]
    kinds = {type(layer) for layer in (*model.layers, *nested)}
    assert all(kind.__module__.startswith("keras.") for kind in kinds)
    assert keras.layers.Lambda not in kinds
