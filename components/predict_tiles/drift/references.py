"""The predictions that new ones are compared with."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tilepipe.components.predict_tiles.drift.drift_figures import Reference
from tilepipe.components.shared.errors import ArtifactError
from tilepipe.components.shared.inference.bundle_model import BundleModel
from tilepipe.components.shared.storage import storage

_COLUMNS = (("class", "confidence"), ("predicted", "probability"))
"""Names of the columns in the predictions of `predict_tiles` and of `evaluate`."""


def find_reference(address: str, model: BundleModel) -> Reference | None:
    """Read the reference.

    Args:
        address: Predictions, as Parquet; empty for those that the bundle's confusion matrix counts.
        model: The model.

    Returns:
        The reference; None if neither exists.

    Raises:
        ArtifactError: The file holds no predictions.
        SourceError: There is no such file.
        StorageError: The file cannot be read.
    """
    return _from_table(address) if address else _from_confusion(model)


def _from_confusion(model: BundleModel) -> Reference | None:
    """Count the predicted classes of the evaluation: the columns of the confusion matrix."""
    found: Any = model.files.get("confusion_matrix.json")
    try:
        counts = np.asarray(found["rows"], np.int64).sum(axis=0).tolist()
        pairs = dict(zip(map(str, found["class_names"]), counts, strict=True))
        return Reference(f"the predictions of the model's evaluation ({found['split']} split)", pairs)
    except (TypeError, KeyError, ValueError):
        return None


def _from_table(address: str) -> Reference:
    with storage.staged(storage.normalize(address)) as path:
        try:
            present = set(pq.read_schema(path).names)
            name, confidence = next((pair for pair in _COLUMNS if set(pair) <= present), _COLUMNS[0])
            table = pq.read_table(path, columns=[name, confidence])
        except (pa.ArrowException, OSError, KeyError) as error:
            raise ArtifactError(
                "`drift_reference` must be the Parquet file of predictions of `predict_tiles` or `evaluate`. Received: "
                f"{storage.shown(address)}, which reads as: {error}."
            ) from error
    found: Any = pc.value_counts(table[name])
    counts = {str(row["values"]): int(row["counts"]) for row in found.to_pylist()}
    confidences = table[confidence].cast(pa.float32()).to_numpy()
    return Reference(f"{storage.shown(address)} ({table.num_rows:,} tiles)", counts, np.asarray(confidences))
