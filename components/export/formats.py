"""The further formats that a run asks for, each compared with the Keras model."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tilepipe.components.export.config import ExportOptions
from tilepipe.components.export.further_formats import LITERT, SAVED_MODEL, to_litert, to_saved_model
from tilepipe.components.export.onnx_graph import freeze_variables, inference_function
from tilepipe.components.export.parity import Probabilities, Tiles, check_parity, compare, in_batches
from tilepipe.components.export.quantization import QUANTIZED, quantize
from tilepipe.components.shared.contracts.samples import Samples

if TYPE_CHECKING:
    import keras

logger = logging.getLogger("tilepipe.export")


@dataclass
class Formats:
    """Files of the further formats, and the results of their comparison with Keras."""

    files: dict[str, bytes] = field(default_factory=dict)
    """Path in the bundle -> content."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Figures for an artifact's metadata."""
    lines: list[tuple[str, str]] = field(default_factory=list)
    """Name of each format, and a sentence about it."""


def sample_batches(samples: Samples, options: ExportOptions) -> Iterable[Tiles]:
    """Return the tiles of the comparison with Keras, in batches."""
    return in_batches(samples.tiles[: options.parity_tiles])


def make_formats(
    options: ExportOptions, model: "keras.Model", dtype: str, samples: Samples, onnx_file: Path
) -> Formats:
    """Convert the model to the further formats.

    Returns:
        The files. An 8-bit model that loses too much accuracy is left out with a warning.

    Raises:
        ArtifactError: A format other than the 8-bit one predicts otherwise than Keras.
    """
    made = Formats()

    def check(name: str, key: str, path: str, answer: Callable[[Tiles], Probabilities]) -> None:
        parity = compare(model.predict_on_batch, answer, sample_batches(samples, options), samples.split)
        check_parity(parity, options.max_difference, name)
        made.facts[f"{key}_max_difference"] = parity.max_difference
        made.lines.append((f"`{path}`", f"{name}; differs from Keras by up to {parity.max_difference:.2g}"))

    if "saved_model" in options.formats:
        files, answer = to_saved_model(model, dtype)
        check("SavedModel", "saved_model", f"{SAVED_MODEL}/", answer)
        made.files |= files
    if "litert" in options.formats:
        content, answer = to_litert(freeze_variables(inference_function(model, dtype)))
        check("LiteRT", "litert", LITERT, answer)
        made.files[LITERT] = content
    if "int8" in options.formats:
        found = quantize(onnx_file, samples, options.max_int8_accuracy_loss)
        made.facts |= found.facts()
        said = (
            f"ONNX with 8-bit weights; accuracy {found.accuracy:.4f} on {found.tiles:,} tiles of {samples.split}, "
            f"of the original {found.original_accuracy:.4f}"
        )
        if found.is_accepted:
            made.files[QUANTIZED] = found.content
            made.lines.append((f"`{QUANTIZED}`", said))
        else:
            made.lines.append(("left out", f"{said}, a loss of more than {options.max_int8_accuracy_loss:g}"))
            logger.warning("the bundle does not contain the 8-bit model: %s", said)
    return made
