"""Initial weights of a backbone: a verified file, or the ImageNet weights of Keras."""

import hashlib
import logging
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from tilepipe.components.prepare.networks.networks import NETWORKS, Architecture
from tilepipe.components.prepare.weights.band_weights import adapt_kernel, colors_of, expected_input
from tilepipe.components.shared.errors import ParameterError, SourceError
from tilepipe.components.shared.runtime.config import StepConfig
from tilepipe.components.shared.storage import storage

if TYPE_CHECKING:
    import keras

Arrays = list[npt.NDArray[Any]]
Scaling = tuple[list[float], list[float]]
"""Mean and variance of each channel, for (value - mean) / sqrt(variance)."""
ArraysAndScaling = tuple[Arrays, Scaling | None]

logger = logging.getLogger("tilepipe.prepare")

IMAGENET = "imagenet"
"""Value of `weights_uri` for the ImageNet weights that Keras downloads."""

SCALING_LAYER = "standardise"
"""Name of the layer of a classifier that scales its channels."""

_SUFFIXES = (".npz", ".h5", ".keras")
_CLASSIFIER = "classifier/"


class Loaded(NamedTuple):
    """Weights that were loaded."""

    digest: str
    """SHA-256 of the file, or `imagenet` if Keras downloaded them."""
    scaling: Scaling | None
    """Scaling of the input in the classifier that they come from; None if they come without one."""


class WeightsOptions(StepConfig):
    """Check of the initial weights, and their input bands."""

    weights_sha256: str = Field(
        default="",
        pattern="^([0-9a-fA-F]{64})?$",
        description="Expected SHA-256 of the file, 64 hexadecimal digits; empty to skip the check",
    )
    rgb_bands: tuple[str, ...] = Field(
        default=(),
        max_length=3,
        description="Red, green and blue band, for weights trained on RGB images; empty to detect by name",
    )

    @model_validator(mode="after")
    def _weights_agree(self) -> Self:
        if self.rgb_bands and len(set(self.rgb_bands)) != 3:
            raise ValueError(
                f"`rgb_bands` must name three bands: red, green, blue. Received: rgb_bands={list(self.rgb_bands)}."
            )
        return self


def load_weights(
    backbone: "keras.Model",
    architecture: Architecture,
    uri: str,
    checksum: str = "",
    *,
    channels: Sequence[str],
    rgb_bands: Sequence[str] = (),
    common_names: Sequence[str] = (),
    platform: str = "",
) -> Loaded:
    """Load weights from a file into a backbone, all of them or none.

    The kernel of the first convolution is adapted from red, green and blue to the channels of the backbone
    (`band_weights.adapt_kernel`), unless it already has as many channels as the backbone.

    Args:
        backbone: the network without its head, freshly built.
        architecture: a network that has an `expected_input`.
        uri: path or address of a `.npz` file (arrays named `<layer>/<variable>`; a `classifier` is ignored), of a
            `.h5` or `.weights.h5` file (the network for RGB without its top, saved by Keras), or of a `.keras` file (a
            classifier of `prepare` or `train` for the same channels, or its backbone); `imagenet` for the weights that
            Keras downloads.
        checksum: expected SHA-256 of the file in hexadecimal; empty to skip the check.
        channels: names of the input channels of the backbone, bands first.
        rgb_bands: see `band_weights.colors_of`.
        common_names: see `band_weights.colors_of`.
        platform: see `band_weights.colors_of`.

    Returns:
        Digest of the file, and the scaling that the weights expect, where the file states it.

    Raises:
        ParameterError: the weights are those of another architecture, or the architecture has none.
        SourceError: the file is missing or damaged or has another checksum, or the download failed.
        StorageError: the store cannot be reached.
        BandError: two channels have names of the same color.
    """
    order = expected_input(architecture).channels
    colors = colors_of(channels, rgb_bands, common_names, platform)
    if uri == IMAGENET:
        arrays, scaling, digest = _arrays(imagenet_network(architecture)), None, IMAGENET
    else:
        check_suffix(uri)
        address = storage.normalize(uri)
        with storage.staged(address) as path:
            digest = _checked_digest(path, uri, checksum)
            arrays, scaling = _read(path, storage.path_of(address), backbone, architecture)
    if not all(np.isfinite(array).all() for array in arrays):
        raise SourceError(
            f"Weights must be finite numbers. Received: {storage.shown(uri)}, which holds others. Give another file."
        )
    if len(arrays) != len(backbone.weights):
        found = f"it has {len(arrays)} arrays instead of {len(backbone.weights)}"
        raise ParameterError(_other_architecture(uri, architecture, found))
    stem = next(place for place, variable in enumerate(backbone.weights) if variable is _stem(backbone))
    own_model = storage.path_of(uri).endswith(".keras")  # its channels are bands of tiles, not RGB
    if own_model and arrays[stem].ndim == 4 and arrays[stem].shape[2] != len(channels):
        raise ParameterError(
            "A classifier can give its weights only to a network of the same channels. "
            f"Received: {storage.shown(uri)} with {arrays[stem].shape[2]}, and tiles with {len(channels)}: "
            f"{', '.join(channels)}. Select the channels of the classifier with options.bands and options.indices, or "
            "give weights of RGB images as .npz or .h5."
        )
    if not own_model and arrays[stem].ndim == 4 and arrays[stem].shape[2] == 3:
        arrays[stem] = adapt_kernel(arrays[stem].astype(np.float32), colors, order)
    _require_fit(dict(zip(_names(backbone), arrays, strict=True)), backbone, uri, architecture)
    for variable, array in zip(backbone.weights, arrays, strict=True):
        variable.assign(array)
    logger.info("%s: weights of %s (%s)", architecture, storage.shown(uri), digest[:12])
    return Loaded(digest, scaling)


def check_suffix(uri: str) -> None:
    """Check that the address of weights is that of a format that can be read.

    Raises:
        ParameterError: it is another one.
    """
    if Path(storage.path_of(uri)).suffix.lower() not in _SUFFIXES:
        raise ParameterError(
            f"A weights file must end with {', '.join(_SUFFIXES)}. Received: {storage.shown(uri)}. "
            "Save the weights in one of these formats."
        )


def _checked_digest(path: Path, uri: str, checksum: str) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if checksum and digest != checksum.lower():
        raise SourceError(
            f"A weights file must have the checksum that `weights_sha256` names, {checksum}. "
            f"Received: {storage.shown(uri)} with {digest}. Get the file again, or correct the checksum."
        )
    return digest


def _read(path: Path, address: str, backbone: "keras.Model", architecture: Architecture) -> ArraysAndScaling:
    """Read the arrays in the order of `backbone.weights`, and the scaling; the first kernel keeps its channels."""
    readers = dict(zip(_SUFFIXES, (_read_npz, _read_h5, _read_keras), strict=True))
    try:
        return readers[Path(address).suffix.lower()](path, backbone, architecture)
    except (ParameterError, SourceError):
        raise
    # Errors of NumPy, h5py and Keras for files that are truncated or of another format.
    except (OSError, ValueError, KeyError, TypeError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise SourceError(
            f"A weights file must be readable. Received: {storage.shown(address)}, which reads as: "
            f"{str(error)[:300]}. Get it again, and give its checksum as `weights_sha256`."
        ) from error


def _read_npz(path: Path, backbone: "keras.Model", architecture: Architecture) -> ArraysAndScaling:
    # No pickles, which can run code. The file is opened here, since NumPy leaves unreadable files open.
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files if not name.startswith(_CLASSIFIER)}
    _require_fit(arrays, backbone, path.name, architecture, of_photographs=True)
    return [arrays[name] for name in _names(backbone)], None


def _read_h5(path: Path, backbone: "keras.Model", architecture: Architecture) -> ArraysAndScaling:
    """Read one of Keras' own formats, into the same network for three channels."""
    import keras

    height, width = backbone.input_shape[1:3]
    network = keras.models.clone_model(backbone, input_tensors=keras.Input((height, width, 3)))
    for variable in network.weights:  # values still NaN afterwards were not in the file
        variable.assign(np.full(variable.shape, np.nan))
    try:
        with warnings.catch_warnings(action="ignore"):  # about skipped weights, which are found below
            network.load_weights(path)
    except ValueError as error:
        raise ParameterError(
            _other_architecture(path.name, architecture, " ".join(str(error).split())[:300])
        ) from error
    arrays = _arrays(network)
    missing = [name for name, array in zip(_names(network), arrays, strict=True) if np.isnan(array).all()]
    if missing:
        found = f"{len(missing)} of {len(arrays)} arrays are not in it ({_some(missing)})"
        raise ParameterError(_other_architecture(path.name, architecture, found))
    return arrays, None


def _read_keras(path: Path, backbone: "keras.Model", _: str) -> ArraysAndScaling:
    import keras

    model = keras.saving.load_model(path, compile=False)
    layers = {layer.name: layer for layer in model.layers}
    # By order, since Keras numbers unnamed layers by creation.
    arrays = _arrays(layers.get(backbone.name, model))
    if SCALING_LAYER not in layers:
        return arrays, None
    scaling = layers[SCALING_LAYER].get_config()
    return arrays, (list(scaling["mean"]), list(scaling["variance"]))


def imagenet_network(architecture: Architecture) -> "keras.Model":
    """Build a network of Keras without its top, with the ImageNet weights that Keras downloads.

    Raises:
        ParameterError: Keras has no weights for the network.
        SourceError: the download failed.
    """
    import keras

    entry = NETWORKS[architecture]
    if entry.function is None:
        names = ", ".join(sorted(name for name, network in NETWORKS.items() if network.function))
        raise ParameterError(
            f"Keras downloads weights from ImageNet for {names}. "
            f"Received: weights_uri={IMAGENET}, architecture={architecture}. Give the address of a file."
        )
    build = getattr(keras.applications, entry.function)
    try:
        return build(weights=IMAGENET, include_top=False, input_shape=(224, 224, 3), **entry.settings)
    except Exception as error:  # Keras raises a plain Exception if a download fails
        raise SourceError(
            f"Keras must reach its server to download {entry.function}'s weights from ImageNet. "
            f"Received: {type(error).__name__}: {str(error)[:300]}. Write them to a file where it can, with `tilepipe "
            f"weights {architecture} {architecture}.weights.h5`, and give its address as `weights_uri` (a pipeline's "
            "`model_weights_uri`)."
        ) from error


def _stem(backbone: "keras.Model") -> "keras.Variable":
    """Return the kernel of the first convolution."""
    import keras

    first = next(layer for layer in backbone.layers if isinstance(layer, keras.layers.Conv2D))
    return first.kernel


def _arrays(network: "keras.Model") -> Arrays:
    import keras

    return [keras.ops.convert_to_numpy(variable) for variable in network.weights]


def _names(network: "keras.Model") -> list[str]:
    """Name each weight as `<layer>/<variable>`, in the order of `network.weights`."""
    return [f"{layer.name}/{variable.name}" for layer in network.layers for variable in layer.weights]


def _require_fit(
    arrays: Mapping[str, npt.NDArray[Any]],
    backbone: "keras.Model",
    uri: str,
    architecture: Architecture,
    *,
    of_photographs: bool = False,
) -> None:
    """Check names, shapes and dtypes of arrays against the backbone.

    The first kernel may have three channels, for RGB, instead of those of the backbone.
    """
    stem = _stem(backbone)
    wanted = dict(zip(_names(backbone), backbone.weights, strict=True))
    missing = [name for name in wanted if name not in arrays]
    unknown = [name for name in arrays if name not in wanted]
    other = []
    for name, array in arrays.items():
        if name not in wanted:
            continue
        shape = tuple(wanted[name].shape)
        fits = [shape, (*shape[:2], 3, shape[3])] if of_photographs and wanted[name] is stem else [shape]
        if array.shape not in fits or not np.issubdtype(array.dtype, np.floating):
            other.append(f"{name} is {array.dtype} {array.shape} instead of {shape}")
    problems = [
        f"{len(missing)} of {len(wanted)} arrays are missing ({_some(missing)})" if missing else "",
        f"{len(unknown)} are not the network's ({_some(unknown)})" if unknown else "",
        f"{len(other)} differ ({_some(other)})" if other else "",
    ]
    if any(problems):
        raise ParameterError(_other_architecture(uri, architecture, ", ".join(filter(None, problems))))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _other_architecture(uri: str, architecture: Architecture, found: str) -> str:
    return (
        f"Weights must be the architecture's, without its top. Received: {storage.shown(uri)} for {architecture}: "
        f"{found}. Give a file of this architecture, or the architecture of this file."
    )
