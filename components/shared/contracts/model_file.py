"""Load TensorFlow without its startup messages, and Keras models checked against the manifest."""

import contextlib
import os
import re
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tilepipe.components.shared.contracts.manifest import Manifest
from tilepipe.components.shared.errors import ArtifactError

if TYPE_CHECKING:
    import keras

BACKBONE = "backbone"
"""Name of the layer that all networks but the cnn have: `prepare` loads weights into it, and it can be frozen."""

_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError)
"""Errors of reading a damaged zip, which a `.keras` file is."""

# Lines that TensorFlow's C++ library writes on a healthy machine before its log level applies.
_CHATTER = re.compile(rb"^(I0000 |WARNING: All log messages before absl::InitializeLog)")


def load_tensorflow(*, gpu: bool = False) -> None:
    """Import TensorFlow and Keras once, without TensorFlow's startup messages.

    A step calls this before anything else imports them: log level and backend are read at import.

    Args:
        gpu: whether a GPU is used. Defaults to False: TensorFlow's errors about a missing GPU are then hidden too.
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

    Returns:
        The model, not compiled: `train` chooses loss and optimizer.

    Raises:
        ArtifactError: the file is not a model, or the model has another tile shape or another number of classes.
    """
    load_tensorflow()
    import keras

    try:
        model = keras.saving.load_model(path, compile=False)
    except (ValueError, OSError, TypeError, KeyError, *_DAMAGE) as error:
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
    """Check that a layer's shape accepts `wanted` after its batch axis; None in a shape accepts any size."""
    if not isinstance(shape, tuple) or len(shape) != len(wanted) + 1:
        return False
    return all(size in (None, want) for size, want in zip(shape[1:], wanted, strict=True))


@contextlib.contextmanager
def _without_chatter() -> Iterator[None]:
    """Filter the startup messages out of the standard error of the process; other lines are written at the end.

    Neither a setting of TensorFlow (tensorflow/tensorflow#100442) nor `sys.stderr` affects these messages.
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
