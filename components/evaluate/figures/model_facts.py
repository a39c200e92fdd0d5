"""Facts about the evaluated model, and its speed on this machine."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Self

import numpy as np

from tilepipe.components.shared.contracts.manifest import Manifest

BATCH_SIZES = (1, 64)
_SECONDS = 0.05
"""Time after which no further batch is measured."""
_FEWEST, _MOST = 3, 20
_LARGEST_BATCH_BYTES = 256 * 2**20


@dataclass(frozen=True)
class ModelFacts:
    """Size, settings and speed of a model; times differ from run to run, so they stay out of the digested outputs."""

    architecture: str
    layers: int
    """Number of layers, those of nested models included."""
    parameters: int
    file_bytes: int
    milliseconds: Mapping[int, float]
    """Time per batch, by batch size; a batch of very large tiles is not measured."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Parameters of the training that MLflow knows, by name; empty if the run is not tracked."""

    @classmethod
    def of(cls, model: Any, path: Path, manifest: Manifest, settings: Mapping[str, str]) -> Self:  # noqa: ANN401
        """Describe and measure a model that has predicted before, in less than a second on a fast machine.

        Args:
            model: a Keras model that fits the manifest.
            path: its file.
            manifest: gives the shape and the type of the tiles.
            settings: parameters of the training, by name.

        Returns:
            The facts; times are medians over up to 20 batches, with the copy of the tiles to the device included.
        """
        tile_bytes = int(np.prod(manifest.tile_shape)) * np.dtype(manifest.dtype).itemsize
        sizes = [size for size in BATCH_SIZES if size == 1 or size * tile_bytes <= _LARGEST_BATCH_BYTES]
        batches = {size: np.zeros((size, *manifest.tile_shape), manifest.dtype) for size in sizes}
        model.predict_on_batch(batches[1])  # a size other than those before may be compiled once, for all sizes
        return cls(
            architecture=str(model.name),
            layers=sum(1 for _ in model._flatten_layers(include_self=False)),
            parameters=int(model.count_params()),
            file_bytes=path.stat().st_size,
            milliseconds={size: _milliseconds(model, batch) for size, batch in batches.items()},
            settings=dict(sorted(settings.items())),
        )

    @property
    def tiles_per_second(self) -> float:
        """Rate at the largest measured batch size."""
        size = max(self.milliseconds)
        return 1000 * size / self.milliseconds[size]

    def scalars(self) -> dict[str, float]:
        """Return the figures by the names that Kubeflow and MLflow show."""
        return {
            "model_parameters": float(self.parameters),
            "model_bytes": float(self.file_bytes),
            "inference_tiles_per_second": self.tiles_per_second,
            **{f"inference_milliseconds_per_tile_batch_{n}": ms / n for n, ms in self.milliseconds.items()},
        }


def _milliseconds(model: Any, tiles: "np.ndarray[Any, Any]") -> float:  # noqa: ANN401
    times: list[float] = []
    end = time.perf_counter() + _SECONDS
    while len(times) < _FEWEST or (len(times) < _MOST and time.perf_counter() < end):
        started = time.perf_counter()
        model.predict_on_batch(tiles)
        times.append(time.perf_counter() - started)
    return 1000 * median(times)
