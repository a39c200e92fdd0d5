"""The table of predictions: its columns, and its writer as GeoParquet 1.1."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tilepipe.components.shared.contracts.geometry_column import GeometryColumn
from tilepipe.components.shared.contracts.tile_table import SCHEMA as TILE_COLUMNS
from tilepipe.components.shared.errors import ArtifactError
from tilepipe.components.shared.inference.prediction_plan import PredictionPlan
from tilepipe.components.shared.inference.prediction_store import METADATA_KEY
from tilepipe.components.shared.storage.atomic import whole_file
from tilepipe.components.shared.version import VERSION

_GROUP_ROWS = 65_536
_TAKEN = ("tile_id", "datetime", "bbox", "geometry", "label")


def prediction_schema(class_names: tuple[str, ...]) -> pa.Schema:
    """Return the columns of the table.

    `probabilities` has one field per class. `confidence` is the highest of them. `label` is the class that the source
    states, if any.
    """
    classes: list[pa.Field[Any]] = [pa.field(name, pa.float32(), nullable=False) for name in class_names]
    text: list[pa.Field[Any]] = [
        pa.field(name, pa.string(), nullable=False) for name in ("model_name", "model_version", "model_digest")
    ]
    return pa.schema(
        [
            *(TILE_COLUMNS.field(name) for name in _TAKEN),
            pa.field("class", pa.string(), nullable=False),
            pa.field("confidence", pa.float32(), nullable=False),
            pa.field("probabilities", pa.struct(classes), nullable=False),
            *text,
        ]
    )


def prediction_table(rows: pa.Table, probabilities: npt.NDArray[np.float32], plan: PredictionPlan) -> pa.Table:
    """Build the rows of some tiles.

    Args:
        rows: Rows of the tile table.
        probabilities: Probabilities of these tiles, float32, `(tiles, classes)`.
        plan: Model and classes.

    Returns:
        One row per tile. The class is the first one of those with the highest probability.
    """
    schema = prediction_schema(plan.class_names)
    count = len(probabilities)
    names = pa.array(plan.class_names, pa.string())
    classes = [pa.array(np.ascontiguousarray(probabilities[:, place])) for place in range(len(plan.class_names))]
    struct = schema.field("probabilities").type
    columns: list[Any] = [
        *(rows[name] for name in _TAKEN),
        names.take(pa.array(probabilities.argmax(axis=1))),
        pa.array(probabilities.max(axis=1)),
        pa.StructArray.from_arrays(classes, fields=[struct.field(place) for place in range(struct.num_fields)]),
        *(pa.repeat(text, count) for text in (plan.model_name, plan.model_version, plan.model_digest)),
    ]
    whole = [column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column for column in columns]
    return pa.Table.from_arrays(whole, schema=schema)


class PredictionWriter:
    """Writer of a table of predictions, row group by row group.

    Args:
        writer: Writer of the Parquet file.
        schema: Its columns.
    """

    def __init__(self, writer: pq.ParquetWriter, schema: pa.Schema) -> None:
        self._writer, self._waiting = writer, schema.empty_table()
        self._geometry = GeometryColumn()
        self.rows = 0

    def write(self, table: pa.Table) -> None:
        """Add rows; the size of row groups does not depend on that of the tables."""
        self._geometry.add(table)
        self.rows += table.num_rows
        self._waiting = pa.concat_tables([self._waiting, table])
        while self._waiting.num_rows >= _GROUP_ROWS:
            self._writer.write_table(self._waiting.slice(0, _GROUP_ROWS).combine_chunks())
            self._waiting = self._waiting.slice(_GROUP_ROWS)

    def finish(self, facts: dict[str, Any]) -> None:
        """Write the remaining rows and the metadata of the file."""
        if self._waiting.num_rows:
            self._writer.write_table(self._waiting.combine_chunks())
        metadata = {METADATA_KEY.decode(): json.dumps({"tilepipe_version": VERSION, **facts}, sort_keys=True)}
        metadata["geo"] = self._geometry.metadata()
        self._writer.add_key_value_metadata(metadata)


@contextlib.contextmanager
def write_predictions(path: Path, plan: PredictionPlan, **facts: object) -> Iterator[PredictionWriter]:
    """Open a table of predictions with further metadata as JSON; it appears when the context ends without an error."""
    # Of a folder of files, GeoPandas only sees metadata that the schema has before the first row.
    schema = prediction_schema(plan.class_names).with_metadata({"geo": GeometryColumn().metadata()})
    with whole_file(path) as partial, pq.ParquetWriter(partial, schema, compression="zstd") as writer:
        predictions = PredictionWriter(writer, schema)
        yield predictions
        of_plan = {"model_digest": plan.model_digest, "class_names": list(plan.class_names), "source": plan.source}
        predictions.finish({**of_plan, **facts})


def read_predictions(path: Path) -> tuple[Iterator[pa.Table], dict[str, Any]]:
    """Read a table of predictions in batches.

    Returns:
        The rows, and the metadata that `write_predictions` was given.

    Raises:
        ArtifactError: The file is not a table of predictions.
    """
    try:
        metadata = json.loads((pq.read_metadata(path).metadata or {})[METADATA_KEY])
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise ArtifactError(
            f"Predictions must be a Parquet file of `predict_tiles`. Received: {path.name}, which reads as: {error!r}. "
            "Run the prediction again."
        ) from error
    return _rows(path), metadata


def _rows(path: Path) -> Iterator[pa.Table]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_GROUP_ROWS):
            yield pa.Table.from_batches([batch])
