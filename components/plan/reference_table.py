"""The predictions that new ones are compared with: those of a file, or of the evaluation of a registered model."""

import json
import logging
import shlex
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tilepipe.components.shared.errors import ArtifactError, SourceError, TrackingError
from tilepipe.components.shared.inference.model_address import ModelFile
from tilepipe.components.shared.storage import storage
from tilepipe.components.shared.storage.atomic import whole_file
from tilepipe.components.shared.storage.place import Place
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
        SourceError: There is no such file, or it is a folder.
        StorageError: The file cannot be read.
    """
    table, description = SCHEMA.empty_table(), ""
    if address:
        place = storage.normalize(address)
        _check_file(place)
        with storage.staged(place) as file:
            table, description = _read(file, storage.shown(address)), storage.shown(address)
        if not table.num_rows:
            raise ArtifactError(
                f"`drift_reference` must hold predictions to compare with. Received: {description} without one that "
                "has a class. Give another file, or leave drift_reference out."
            )
    elif model.run_id:
        with TemporaryDirectory(prefix="tilepipe-") as folder:
            fetched = _fetch_evaluation(model, Path(folder))
            if fetched is not None:
                table = _read(fetched, f"{_EVALUATION_FILE} of run {model.run_id}")
                description = "the predictions of the model's evaluation"
    with whole_file(path) as partial:
        pq.write_table(table.replace_schema_metadata({"description": description}), partial, compression="zstd")
    return table.num_rows


def _check_file(address: str) -> None:
    """Check that an address is not that of a folder of predictions, and name the newest file of one.

    Raises:
        SourceError: It is one.
    """
    if storage.is_web(address) or storage.is_file(address):
        return
    names = [name for name in Place(address).sizes() if name.endswith(".parquet") and "/" not in name]
    if names:
        newest = json.dumps({"drift_reference": f"{address.rstrip('/')}/{max(names)}"}, ensure_ascii=False)
        raise SourceError(
            f"`drift_reference` must be one Parquet file. Received: {storage.shown(address)}, a folder of "
            f"{len(names)}. Give one of them, such as predict_options={shlex.quote(newest)}."
        )


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
    """Read class and confidence; of the predictions of several splits, those of the test split.

    Rows without a class are left out.
    """
    try:
        names = set(pq.read_schema(path).names)
        chosen = next((pair for pair in _NAMES if set(pair) <= names), _NAMES[0])
        table = pq.read_table(path, columns=[*chosen, *(["split"] if "split" in names else [])])
        own = table.select(list(chosen)).rename_columns(SCHEMA.names).cast(SCHEMA)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise ArtifactError(
            "`drift_reference` must be the Parquet file of predictions of `predict_tiles` or `evaluate`. Received: "
            f"{shown}, which reads as: {error}."
        ) from error
    if "split" in names:
        is_test: Any = pc.equal(table["split"], pa.scalar("test"))
        if pc.any(is_test).as_py():
            own = own.filter(is_test)
    return own.filter(pc.is_valid(own["class"]))
