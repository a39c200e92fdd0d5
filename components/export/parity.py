"""The comparison of an exported model with the Keras model on real tiles."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tilepipe.components.export.onnx_graph import INPUT
from tilepipe.components.shared.errors import ArtifactError
from tilepipe.components.shared.inference.onnx_session import OnnxSession
from tilepipe.components.shared.runtime.cpus import available_cpus

Tiles = npt.NDArray[Any]
Probabilities = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Parity:
    """Agreement of ONNX with Keras."""

    split: str
    """Split of the tiles."""
    tiles: int
    max_difference: float
    """Largest absolute difference between two probabilities."""
    differing_labels: int
    """Tiles whose most probable class differs."""
    tiles_per_second: float
    """Rate of onnxruntime on this machine's CPU, without its first batch."""
    keras_tiles_per_second: float
    """Rate of Keras on the same tiles."""

    def facts(self) -> dict[str, float | int | str]:
        """Figures for an artifact's metadata, all finite."""
        return {
            "parity_split": self.split,
            "parity_tiles": self.tiles,
            "parity_max_difference": self.max_difference,
            "parity_differing_labels": self.differing_labels,
            "onnx_tiles_per_second": round(self.tiles_per_second, 1),
            "keras_tiles_per_second": round(self.keras_tiles_per_second, 1),
        }


def open_session(path: Path) -> Callable[[Tiles], Probabilities]:
    """Open an ONNX file on the CPU.

    Returns:
        A function from tiles, `(batch, height, width, bands)` in the model's dtype, to probabilities, float32,
        `(batch, classes)`.

    Raises:
        ArtifactError: onnxruntime refuses the file, or it has other inputs than the tiles.
    """
    import onnxruntime

    try:
        session = OnnxSession(path, available_cpus())  # as where the bundle is used
    except Exception as error:  # onnxruntime's own classes derive from nothing narrower
        raise ArtifactError(
            f"An exported model must be a file that onnxruntime {onnxruntime.__version__} opens. "
            f"Received: {path.name}, of which it says: {error}."
        ) from error
    inputs = [value.name for value in session.shared.get_inputs()]
    if inputs != [INPUT]:
        raise ArtifactError(
            f"An exported model must take one input, `{INPUT}`. Received: {path.name}, which takes {inputs}."
        )
    return lambda tiles: np.asarray(session(tiles), np.float32)


def in_batches(tiles: Tiles, size: int = 64) -> Iterator[Tiles]:
    """Cut tiles into batches; the last one may be smaller."""
    for start in range(0, len(tiles), size):
        yield tiles[start : start + size]


def compare(
    keras_model: Callable[[Tiles], Probabilities],
    onnx_model: Callable[[Tiles], Probabilities],
    batches: Iterable[Tiles],
    split: str,
) -> Parity:
    """Compare two models on the same tiles.

    Args:
        keras_model: Function from tiles to the probabilities of the Keras model.
        onnx_model: Function from tiles to the probabilities of the exported model.
        batches: Tiles, `(batch, height, width, bands)`; at least one batch.
        split: Split of the tiles.

    Returns:
        Their agreement and rates.

    Raises:
        ArtifactError: The exported model gives other predictions for the same tiles when called again.
    """
    tiles, largest, differing = 0, 0.0, 0
    seconds = {"keras": 0.0, "onnx": 0.0}
    for number, batch in enumerate(batches):
        if number == 0:  # loading and memory plans are not part of the rate
            first = onnx_model(batch)
            keras_model(batch)
        started = time.perf_counter()
        expected = keras_model(batch)
        between = time.perf_counter()
        found = onnx_model(batch)
        seconds["keras"] += between - started
        seconds["onnx"] += time.perf_counter() - between
        if number == 0 and not np.array_equal(first, found):
            raise ArtifactError(
                "An exported model must predict the same for the same tiles. Received: two predictions that differ by "
                f"up to {float(np.abs(first - found).max()):.3g}, as from a layer that stays in training mode."
            )
        tiles += len(batch)
        difference = float(np.abs(expected - found).max())
        largest = max(largest, difference) if np.isfinite(difference) else float("inf")
        differing += int((expected.argmax(axis=1) != found.argmax(axis=1)).sum())
    return Parity(split, tiles, largest, differing, tiles / seconds["onnx"], tiles / seconds["keras"])


def check_parity(parity: Parity, max_difference: float, name: str = "ONNX") -> None:
    """Check that the predictions of the exported model are those of the Keras model.

    Raises:
        ArtifactError: A probability differs by more, or is not a number.
    """
    if not parity.max_difference <= max_difference:
        raise ArtifactError(
            f"Probabilities of the exported {name} model must be within {max_difference:g} of those of Keras. "
            f"Received: a difference of {parity.max_difference:.3g}, and another class for "
            f"{parity.differing_labels:,} of {parity.tiles:,} tiles. If that is acceptable, give "
            f"options.max_difference={_rounded_up(parity.max_difference)}."
        )


def _rounded_up(value: float) -> str:
    """Round a difference up to one significant digit."""
    if not np.isfinite(value) or value <= 0:
        return "0.1"
    exponent = int(np.floor(np.log10(value)))
    return f"{np.ceil(value / 10.0**exponent) * 10.0**exponent:.{max(-exponent, 0)}f}"
