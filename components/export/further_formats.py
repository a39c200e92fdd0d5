"""The model in further formats beside ONNX: SavedModel and LiteRT, both from raw tiles to probabilities."""

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tilepipe.components.export.onnx_graph import INPUT, OUTPUT, inference_function, quiet
from tilepipe.components.export.parity import Probabilities, Tiles

if TYPE_CHECKING:
    import keras

SAVED_MODEL = "saved_model"
LITERT = "model.tflite"


def to_saved_model(model: "keras.Model", dtype: str) -> tuple[dict[str, bytes], Callable[[Tiles], Probabilities]]:
    """Save a classifier as a TensorFlow SavedModel, and load it again.

    Keras' own `export` leaves layers whose call defaults to training, such as augmentation, switched on.

    Args:
        model: The Keras model; its layers then compute in float32.
        dtype: Dtype of the tiles.

    Returns:
        Path below `saved_model/` in the bundle -> content, and the function of the loaded model. Its signature
        `serving_default` has the input `tiles` and the output `probabilities`; the batch size is dynamic.
    """
    import tensorflow as tf

    with tempfile.TemporaryDirectory(prefix="tilepipe-") as folder, quiet():
        module = tf.Module()
        module.model = model  # holds the variables
        tf.saved_model.save(module, folder, signatures={"serving_default": inference_function(model, dtype)})
        loaded = tf.saved_model.load(folder)
        files = {
            f"{SAVED_MODEL}/{path.relative_to(folder).as_posix()}": path.read_bytes()
            for path in sorted(Path(folder).rglob("*"))
            if path.is_file()
        }

    def answer(tiles: Tiles) -> Probabilities:
        return np.asarray(loaded.signatures["serving_default"](tf.constant(tiles))[OUTPUT], np.float32)

    return files, answer


def to_litert(frozen: Any) -> tuple[bytes, Callable[[Tiles], Probabilities]]:  # noqa: ANN401 - TensorFlow's function
    """Convert a concrete function from tiles to probabilities, without variables, to LiteRT, and load the result.

    Variables must be frozen first: TensorFlow's converter (2.21) leaves those of a SavedModel, or of a function that is
    given with its model, out of the file without a message, and the predictions are NaN.

    Returns:
        Content of the file, and the function of the loaded model. Its signature `serving_default` has the input
        `tiles` and the output `probabilities`; the batch size is dynamic.
    """
    import tensorflow as tf

    (spec,) = (tf.TensorSpec(tiles.shape, tiles.dtype, name=INPUT) for tiles in frozen.inputs)

    # Freezing loses the names of the outputs, and without an object the converter writes no signature at all.
    def classify(tiles: tf.Tensor) -> dict[str, tf.Tensor]:
        (probabilities,) = frozen(tiles)
        return {OUTPUT: probabilities}

    named = tf.function(classify, autograph=False).get_concrete_function(spec)
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TensorFlow about its interpreter, which has another package since 2.20
        converter = tf.lite.TFLiteConverter.from_concrete_functions([named], tf.Module())
        content = bytes(converter.convert())
        runner = tf.lite.Interpreter(model_content=content).get_signature_runner()

    def answer(tiles: Tiles) -> Probabilities:
        return np.asarray(runner(**{INPUT: tiles})[OUTPUT], np.float32)

    return content, answer
