"""Load TensorFlow without its startup messages, and Keras models checked against the manifest."""

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tilepipe.components.shared.contracts.manifest import Manifest
from tilepipe.components.shared.errors import ArtifactError

if TYPE_CHECKING:
    import keras

BACKBONE = "backbone"
"""Name of the layer that all networks but the cnn have: `prepare` loads weights into it, and it can be frozen."""

# Lines that TensorFlow's C++ library writes on a healthy machine before its log level applies.
_CHATTER = re.compile(rb"^(I0000 |WARNING: All log messages before absl::InitializeLog)")


def load_tensorflow(*, gpu: bool = False) -> None:
    """Import TensorFlow and Keras, once, without the lines about a machine in good order.

    A step calls it before anything else imports them: log level and backend are read at import.

    Args:
        gpu: whether a GPU is wanted. Where it is not, TensorFlow's errors about not finding one are left out too.
    """
    if "tensorflow" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2" if gpu else "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with _without_chatter():
        import keras
        import tensorflow as tf  # noqa: F401
    keras.config.disable_interactive_logging()  # no progress bars in a pod's log


def load_model(path: Path, manifest: Manifest) -> "keras.Model":
    """Load a model and check it against the manifest.

    Args:
        path: a `.keras` file.
        manifest: what the tiles are.

    Returns:
        The model, not compiled: whoever trains it chooses loss and optimizer.

    Raises:
        ArtifactError: the file is no model, or the model takes other tiles or tells other classes apart.
    """
    load_tensorflow()
    import keras

    try:
        model = keras.saving.load_model(path, compile=False)
    except (ValueError, OSError, TypeError, KeyError) as error:
        raise ArtifactError(
            f"A model must be a .keras file that Keras {keras.version()} can load. Received: {path}, which reads as: "
            f"{str(error)[:500]}. Give the output of `prepare` or `train`, of this version of tilepipe."
        ) from error
    takes, gives = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
    advice = "Model and manifest must come from the same pipeline run: run `prepare` again with this manifest."
    if not _fits(takes, manifest.tile_shape):
        raise ArtifactError(
            f"A model must take tiles of (height, width, bands) = {manifest.tile_shape}, bands "
            f"{', '.join(manifest.bands)}. Received: {path.name}, whose input is {takes}. {advice}"
        )
    if not _fits(gives, (len(manifest.class_names),)):
        raise ArtifactError(
            f"A model must give one probability for each of the manifest's {len(manifest.class_names)} classes. "
            f"Received: {path.name}, whose output is {gives}. {advice}"
        )
    return model


def _fits(shape: object, wanted: tuple[int, ...]) -> bool:
    """Whether a layer's shape takes `wanted` behind its batch axis; None in a shape takes any size."""
    if not isinstance(shape, tuple) or len(shape) != len(wanted) + 1:
        return False
    return all(size in (None, want) for size, want in zip(shape[1:], wanted, strict=True))


@contextlib.contextmanager
def _without_chatter() -> Iterator[None]:
    """Hold back what is written to the process's standard error, and let all but the chatter through afterwards.

    No setting of TensorFlow's own reaches these lines (tensorflow/tensorflow#100442), and `sys.stderr` neither.
    """
    sys.stderr.flush()
    standard_error = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(standard_error, 2)
            os.close(standard_error)
            held.seek(0)
            for line in held:
                if not _CHATTER.match(line):
                    os.write(2, line)
