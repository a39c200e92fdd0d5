"""The predictions that new ones are compared with."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tilepipe.components.shared.errors import ArtifactError
from tilepipe.components.shared.inference.bundle_model import BundleModel
from tilepipe.components.shared.inference.drift import Reference, evaluation_reference


def find_reference(path: Path, model: BundleModel) -> Reference | None:
    """Read the reference that `plan` found, or else count the predicted classes of the model's evaluation.

    Args:
        path: Output `reference` of `plan`; without rows, the confusion matrix in the bundle is used.
        model: The model.

    Returns:
        The reference; None if neither exists.

    Raises:
        ArtifactError: The file is damaged.
    """
    try:
        table = pq.read_table(path, columns=["class", "confidence"])
    except (pa.ArrowException, OSError, KeyError) as error:
        raise ArtifactError(
            f"`reference` must be the Parquet file of `plan`. Received: {path.name}, which reads as: {error}."
        ) from error
    if not table.num_rows:
        return evaluation_reference(model)
    found: Any = pc.value_counts(table["class"])
    counts = {str(row["values"]): int(row["counts"]) for row in found.to_pylist()}
    description = (table.schema.metadata or {}).get(b"description", b"").decode()
    return Reference(f"{description} ({table.num_rows:,} tiles)", counts, np.asarray(table["confidence"].to_numpy()))
