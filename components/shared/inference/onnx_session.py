"""ONNX models run by onnxruntime on the CPU, whose threads share a few tiles or divide many."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

INPUT = "tiles"

_MOST_TILES = 16
"""Largest number of tiles per run of one thread: about as many as the processor's cache holds."""


class OnnxSession:
    """A model that classifies tiles on a number of threads.

    Threads that share the operators of one run wait for each other at each operator, which pays for a single tile only.
    Tiles for at least half of the threads are divided instead: each thread runs the whole model on some of them, which
    is 1.2 times as fast for 64 tiles.

    Args:
        model: Content of an ONNX file with the input `tiles`, or its path.
        threads: Number of threads.
        quiet: True hides onnxruntime's warnings. Defaults to False.
    """

    def __init__(self, model: bytes | Path, threads: int, *, quiet: bool = False) -> None:
        self.shared = _open(model, threads, quiet)
        """onnxruntime's session in which all threads work on the same tiles."""
        self._single = self.shared if threads == 1 else _open(model, 1, quiet)
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="tilepipe-onnx")

    def __call__(self, tiles: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the model's first output for at least one tile, `(tiles, ...)`."""
        tiles = np.ascontiguousarray(tiles)
        if len(tiles) == 1 or self._threads == 1 or self._threads > 2 * len(tiles):
            return _run(self.shared, tiles)
        rounds = -(-len(tiles) // (self._threads * _MOST_TILES))
        size = -(-len(tiles) // (self._threads * rounds))
        parts = [tiles[start : start + size] for start in range(0, len(tiles), size)]
        return np.concatenate(list(self._pool.map(lambda part: _run(self._single, part), parts)))


def _run(session: Any, tiles: npt.NDArray[Any]) -> npt.NDArray[Any]:  # noqa: ANN401 - onnxruntime has no types
    output: npt.NDArray[Any] = session.run(None, {INPUT: tiles})[0]
    return output


def _open(model: bytes | Path, threads: int, quiet: bool) -> Any:  # noqa: ANN401 - onnxruntime has no types
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    # Threads that wait busily use up the CPU limit of a container, and slow down each other where CPUs are shared. A
    # short wait covers the time between two operators and between two tiles; waking a thread would take as long as an
    # operator.
    options.add_session_config_entry("session.intra_op.spin_duration_us", "100")
    if quiet:
        options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        model if isinstance(model, bytes) else str(model), options, providers=["CPUExecutionProvider"]
    )
