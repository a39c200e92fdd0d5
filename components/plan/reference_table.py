"""The predictions that new ones are compared with: those of a file, or of the evaluation of a registered model."""

import logging
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tilepipe.components.shared.errors import ArtifactError, TrackingError
from tilepipe.components.shared.inference.model_address import ModelFile
from tilepipe.components.shared.storage import storage
from tilepipe.components.shared.storage.atomic import whole_file
from tilepipe.components.shared.tracking import tracking

logger = logging.getLogger("tilepipe.plan")

_EVALUATION_FOLDER, _EVALUATION_FILE = "evaluation", "evaluation/predictions.parquet"
"""Place of the predictions of `evaluate` in the MLflow run of a training."""
_NAMES = (("class", "confidence"), ("predicted", "probability"))
"""Columns in the predictions of `predict_tiles` and of `evaluate`."""
_FIELDS: "list[pa.Field[Any]]" = [pa.field("class", pa.string()), pa.field("confidence", pa.float32())]
SCHEMA = pa.schema(_FIELDS)


def write_reference(address: str, model: ModelFile, path: Path) -> int:
    """Write class and confidence of the predictions to compare with.

    Args:
        address: Predictions, as Parquet; empty for those of the model's evaluation, if its training is in MLflow.
        model: The model.
        path: Path of the Parquet file to write; it has no rows if there are no such predictions.

    Returns:
        Number of rows.

    Raises:
        ArtifactError: The file at `address` holds no predictions.
        SourceError: There is no such file.
        StorageError: The file cannot be read.
    """
    table, description = SCHEMA.empty_table(), ""
    if address:
        with storage.staged(storage.normalize(address)) as file:
            table, description = _read(file, storage.shown(address)), storage.shown(address)
    elif model.run_id:
        with TemporaryDirectory(prefix="tilepipe-") as folder:
            fetched = _fetch_evaluation(model, Path(folder))
            if fetched is not None:
                table = _read(fetched, f"{_EVALUATION_FILE} of run {model.run_id}")
                description = "the predictions of the model's evaluation"
    with whole_file(path) as partial:
        pq.write_table(table.replace_schema_metadata({"description": description}), partial, compression="zstd")
    return table.num_rows


def _fetch_evaluation(model: ModelFile, folder: Path) -> Path | None:
    """Fetch the predictions of the evaluation; None if the run or the file was deleted, which is no error."""
    try:
        with tracking.reported("find the evaluation of the model"):
            client = tracking.client()
            listed = {file.path for file in client.list_artifacts(model.run_id, _EVALUATION_FOLDER)}
            if _EVALUATION_FILE in listed:
                return Path(client.download_artifacts(model.run_id, _EVALUATION_FILE, str(folder)))
    except TrackingError as error:
        logger.warning("confidences are not compared with the model's evaluation: %s", error)
    return None


def _read(path: Path, shown: str) -> pa.Table:
    """Read class and confidence; of the predictions of several splits, those of the test split."""
    try:
        names = set(pq.read_schema(path).names)
        chosen = next((pair for pair in _NAMES if set(pair) <= names), _NAMES[0])
        table = pq.read_table(path, columns=[*chosen, *(["split"] if "split" in names else [])])
    except (pa.ArrowException, OSError, KeyError) as error:
        raise ArtifactError(
            "`drift_reference` must be the Parquet file of predictions of `predict_tiles` or `evaluate`. Received: "
            f"{shown}, which reads as: {error}."
        ) from error
    if "split" in names:
        is_test: Any = pc.equal(table["split"], pa.scalar("test"))
        if pc.any(is_test).as_py():
            table = table.filter(is_test)
    return table.select(list(chosen)).rename_columns(SCHEMA.names).cast(SCHEMA)
