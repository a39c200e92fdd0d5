"""A model from a bundle, run with onnxruntime."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from tilepipe.components.shared.contracts.bundle import read_bundle
from tilepipe.components.shared.contracts.manifest import BandStatistics
from tilepipe.components.shared.contracts.product import Product
from tilepipe.components.shared.errors import ArtifactError
from tilepipe.components.shared.figures import SUM_TOLERANCE
from tilepipe.components.shared.inference.model_address import LARGEST_BUNDLE_BYTES, ModelFile, check_address, resolve
from tilepipe.components.shared.inference.onnx_session import INPUT, OnnxSession
from tilepipe.components.shared.runtime.cpus import available_cpus

Tiles = npt.NDArray[Any]
Probabilities = npt.NDArray[np.float32]

LARGEST_MODEL_BYTES = 2 * 2**30
"""Largest ONNX file that is loaded, in bytes: that of one protobuf message."""

_LARGEST_UNPACKED_BYTES = 4 * LARGEST_BUNDLE_BYTES
_MODEL, _LABELS, _BANDS, _CONFIGURATION = "model.onnx", "labels.json", "bands.json", "configuration.json"
_CONFUSION, _FIGURES = "confusion_matrix.json", "figures.json"
_TYPES = {
    "tensor(uint8)": "uint8",
    "tensor(uint16)": "uint16",
    "tensor(int16)": "int16",
    "tensor(float)": "float32",
}

_LARGEST_PIXEL = 1e18
"""Magnitude above which squares, and thus the sums of a network, overflow float32."""


@dataclass(frozen=True)
class BundleModel:
    """A classifier with the description of its input and output. `open_model` creates it."""

    name: str
    """Name in the registry, else the name that `export` gave it."""
    version: str
    """Version in the registry; empty for a model from elsewhere."""
    digest: str
    """SHA-256 of the bundle in hexadecimal."""
    address: str
    """Address from which it was opened, for messages."""
    class_names: tuple[str, ...]
    """In the order of the probabilities."""
    bands: tuple[str, ...]
    """Names in the order of the last axis of a tile."""
    statistics: tuple[BandStatistics, ...]
    """Digital numbers of each band in the training split, in band order."""
    dtype: str
    height: int
    width: int
    nodata: float | None
    """Number that marks invalid pixels in the training tiles; None if there was none."""
    product: Product
    """Statements of the source of the training tiles about their product; nothing in earlier bundles."""
    files: Mapping[str, Any]
    """Content of the bundle's JSON files by name, such as `confusion_matrix.json`."""
    onnx_session: OnnxSession

    @property
    def tile_shape(self) -> tuple[int, int, int]:
        """`(height, width, bands)` of one tile."""
        return self.height, self.width, len(self.bands)

    def example(self) -> Tiles:
        """Return one tile whose bands have their mean values, `(1, height, width, bands)`."""
        means = np.array([band.mean for band in self.statistics]).astype(self.dtype)
        return np.broadcast_to(means, (1, *self.tile_shape)).copy()

    def predict(self, tiles: Tiles) -> Probabilities:
        """Classify tiles.

        Args:
            tiles: Digital numbers in the model's dtype, `(tiles, height, width, bands)`; there may be none.

        Returns:
            Probabilities, float32, `(tiles, classes)`.

        Raises:
            ArtifactError: The tiles have another shape or dtype, or the model's output is not probabilities.
        """
        if tiles.shape[1:] != self.tile_shape or tiles.dtype != self.dtype:
            raise ArtifactError(
                f"The model {self.name} takes tiles of (height, width, bands) = {self.tile_shape}, {self.dtype}, bands "
                f"{', '.join(self.bands)}. Received: tiles of {tiles.shape[1:]}, {tiles.dtype.name}."
            )
        if not len(tiles):
            return np.empty((0, len(self.class_names)), np.float32)
        probabilities = np.asarray(self.onnx_session(tiles), np.float32)
        if probabilities.shape != (len(tiles), len(self.class_names)):
            raise ArtifactError(
                f"The model {self.name} must give one probability for each of {len(self.class_names)} classes. "
                f"Received: an output of {probabilities.shape} for {len(tiles)} tiles."
            )
        if not _are_probabilities(probabilities):
            _check_pixels(tiles, self.name)
            sums = probabilities.sum(axis=1, dtype=np.float64)
            raise ArtifactError(
                f"The output of the model {self.name} must be probabilities, non-negative and with a sum of 1. "
                f"Received: values from {probabilities.min():.3g} with sums from {sums.min():.3g} to {sums.max():.3g}."
            )
        return probabilities


def open_model(address: str, *, parameter: str = "model") -> BundleModel:
    """Open a model by its address.

    Args:
        address: A bundle (.tar.gz) or its STAC item (.json), as a path, s3:// or https://, or `models:/name@alias` or
            `models:/name/version` in the model registry.
        parameter: Name of the parameter with the address, for messages.

    Returns:
        The model. Nothing of it remains on disk.

    Raises:
        ParameterError: The address has none of these forms.
        ArtifactError: The bundle is damaged, was changed, or cannot be used.
        SourceError: Nothing exists at the address.
        StorageError: The disk, the store or the web server cannot be read.
        TrackingError: The registry cannot be reached.
    """
    with TemporaryDirectory(prefix="tilepipe-") as folder:
        return load_model(resolve(check_address(parameter, address), Path(folder)))


def load_model(file: ModelFile, *, threads: int | None = None) -> BundleModel:
    """Load a model from a bundle on the local disk.

    Args:
        file: The bundle.
        threads: Threads of onnxruntime. Defaults to the CPUs that the process may use.

    Raises:
        ArtifactError: The bundle is damaged, was changed, or cannot be used.
    """
    with file.path.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    if file.sha256 and digest != file.sha256:
        raise ArtifactError(
            f"The bundle of {file.address} must have the SHA-256 {file.sha256}. Received: {digest}, so it was changed "
            "or damaged since it was recorded. Export the model again, or restore the file."
        )
    names = (_MODEL, _LABELS, _BANDS, _CONFIGURATION, _CONFUSION, _FIGURES)
    files = read_bundle(file.path, names=names, largest_bytes=_LARGEST_UNPACKED_BYTES)
    content = files.pop(_MODEL, b"")
    try:
        documents = {name: json.loads(data) for name, data in files.items()}
        labels, bands = documents[_LABELS], documents[_BANDS]
        class_names = tuple(str(labels[str(index)]) for index in range(len(labels)))
        statistics = tuple(BandStatistics.model_validate(band) for band in bands["bands"])
        model = BundleModel(
            name=file.name or str(documents[_CONFIGURATION]["name"]),
            version=file.version,
            digest=digest,
            address=file.address,
            class_names=class_names,
            bands=tuple(one.band for one in statistics),
            statistics=statistics,
            dtype=str(bands["dtype"]),
            height=int(bands["height"]),
            width=int(bands["width"]),
            nodata=bands["nodata"],
            product=Product.model_validate(bands.get("product") or {}),
            files=documents,
            onnx_session=_open_session(content, file, threads or available_cpus()),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, ArtifactError):
            raise
        raise ArtifactError(
            f"A bundle must describe its classes and bands as `export` does. Received: {file.address}, in which "
            f"{type(error).__name__}: {error}. Export the model again."
        ) from error
    _check_input(model)
    return model


def _open_session(content: bytes, file: ModelFile, threads: int) -> OnnxSession:
    import onnxruntime

    if not content or len(content) > LARGEST_MODEL_BYTES:
        raise ArtifactError(
            f"A bundle must hold a file {_MODEL} of at most {LARGEST_MODEL_BYTES:,} bytes. Received: {file.address}, "
            f"in which it has {len(content):,}. Export the model again."
        )
    try:
        return OnnxSession(content, threads, quiet=True)
    except Exception as error:  # onnxruntime's own classes derive from nothing narrower
        raise ArtifactError(
            f"A bundle must hold a model that onnxruntime {onnxruntime.__version__} opens. Received: {file.address}, "
            f"of which it says: {error}. Export the model again."
        ) from error


def _are_probabilities(values: Probabilities) -> bool:
    """Return True if the values of each tile are finite, non-negative, and have a sum of 1."""
    if len(values) == 1:  # NumPy would take a tenth of the time of a small model
        numbers = values[0].tolist()
        return bool(min(numbers) >= 0 and abs(sum(numbers) - 1) <= SUM_TOLERANCE)
    sums = values.sum(axis=1, dtype=np.float64)
    return bool(values.min() >= 0 and (abs(sums - 1) <= SUM_TOLERANCE).all())


def _check_pixels(tiles: Tiles, name: str) -> None:
    """Check that the pixels are numbers that the sums of a network can hold, unlike nodata such as 3.4e38."""
    if tiles.dtype.kind == "f" and not (np.abs(tiles) < _LARGEST_PIXEL).all():
        raise ArtifactError(
            f"Pixels must be finite numbers below {_LARGEST_PIXEL:g}; of others, the model {name} makes no "
            f"probabilities. Received: values from {tiles.min():g} to {tiles.max():g}. If one of them marks nodata, "
            "which the file does not state, set the option `nodata` to it."
        )


def _check_input(model: BundleModel) -> None:
    """Check that the ONNX model takes the tiles that the bundle describes."""
    inputs = model.onnx_session.shared.get_inputs()
    found = [(value.name, _TYPES.get(value.type, value.type), tuple(value.shape[1:])) for value in inputs]
    if found != [(INPUT, model.dtype, model.tile_shape)]:
        raise ArtifactError(
            f"The ONNX model of a bundle must take one input, `{INPUT}`, of the described dtype and shape: "
            f"{model.dtype}, {model.tile_shape}. Received: {model.address}, whose model takes {found}. Export the "
            "model again."
        )
