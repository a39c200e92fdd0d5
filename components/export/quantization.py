"""The ONNX model with 8-bit weights and activations, and the test whether it is as good as the original."""

import logging
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tilepipe.components.export.onnx_graph import INPUT, quiet
from tilepipe.components.export.parity import Probabilities, Tiles, in_batches, open_session
from tilepipe.components.shared.contracts.samples import Samples

QUANTIZED = "model.int8.onnx"
_CALIBRATION_TILES = 128


@dataclass(frozen=True)
class Quantization:
    """Comparison of the 8-bit model with the original on labelled tiles."""

    content: bytes
    """The 8-bit model, ONNX."""
    tiles: int
    accuracy: float
    original_accuracy: float
    differing_labels: int
    """Tiles whose most probable class differs from that of the original."""
    tiles_per_second: float
    max_accuracy_loss: float
    """Loss of accuracy that is accepted."""

    @property
    def is_accepted(self) -> bool:
        """True if the accuracy is lower by no more than the accepted loss."""
        return self.original_accuracy - self.accuracy <= self.max_accuracy_loss + 1e-9

    def facts(self) -> dict[str, float | int | bool]:
        """Figures for an artifact's metadata, all finite."""
        return {
            "int8_accepted": self.is_accepted,
            "int8_tiles": self.tiles,
            "int8_accuracy": round(self.accuracy, 6),
            "int8_original_accuracy": round(self.original_accuracy, 6),
            "int8_max_accuracy_loss": self.max_accuracy_loss,
            "int8_differing_labels": self.differing_labels,
            "int8_tiles_per_second": round(self.tiles_per_second, 1),
            "int8_bytes": len(self.content),
        }


def quantize(path: Path, samples: Samples, max_accuracy_loss: float) -> Quantization:
    """Quantize an ONNX model to 8 bits, and compare it with the original.

    The ranges of the activations are those of the first 128 samples; all samples are classified. Both weights and
    activations are unsigned: onnxruntime before 1.24 refuses signed ones in some models. The last layer stays as it is.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    # onnxruntime advises on preprocessing without a logger of its own.
    with tempfile.TemporaryDirectory(prefix="tilepipe-") as folder, quiet(root=logging.ERROR):
        quantized = Path(folder) / QUANTIZED
        quantize_static(
            str(path),
            str(quantized),
            _Calibration(samples.tiles[:_CALIBRATION_TILES]),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QUInt8,
            nodes_to_exclude=_last_nodes(path),
        )
        content, answer = quantized.read_bytes(), open_session(quantized)
    before, _ = _classify(open_session(path), samples.tiles)
    after, tiles_per_second = _classify(answer, samples.tiles)
    return Quantization(
        content=content,
        tiles=len(samples.tiles),
        accuracy=float((after == samples.labels).mean()),
        original_accuracy=float((before == samples.labels).mean()),
        differing_labels=int((after != before).sum()),
        tiles_per_second=tiles_per_second,
        max_accuracy_loss=max_accuracy_loss,
    )


def _last_nodes(path: Path) -> list[str]:
    """Return the names of the nodes of the last layer, from its weights to the probabilities.

    In 8 bits, probabilities would be multiples of about 1/256: classes tie, and rows do not add up to 1.
    """
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    producers = {output: node for node in graph.node for output in node.output}
    names, value = [], graph.output[0].name
    while value in producers:
        node = producers[value]
        names.append(node.name)
        if node.op_type in {"MatMul", "Gemm", "Conv"}:
            break
        value = node.input[0]
    return names


class _Calibration:
    """Reader of tiles, as onnxruntime's calibration expects it."""

    def __init__(self, tiles: Tiles) -> None:
        self._batches = in_batches(tiles, 16)

    def get_next(self) -> dict[str, Tiles] | None:
        """Return the next batch by the name of the input; None at the end."""
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}


def _classify(model: Callable[[Tiles], Probabilities], tiles: Tiles) -> tuple[npt.NDArray[np.intp], float]:
    """Return the most probable class of each tile, and the tiles per second."""
    model(next(in_batches(tiles)))  # memory plans are not part of the rate
    started = time.perf_counter()
    classes = np.concatenate([model(batch).argmax(axis=1) for batch in in_batches(tiles)])
    return classes, len(tiles) / (time.perf_counter() - started)
