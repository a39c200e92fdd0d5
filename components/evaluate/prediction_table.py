"""Predictions as a Parquet file, one row per tile."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tilepipe.components.evaluate.predict import SplitPredictions
from tilepipe.components.shared.contracts.manifest import Manifest
from tilepipe.components.shared.storage.atomic import whole_file
from tilepipe.components.shared.version import VERSION

_FIELDS: "list[pa.Field[Any]]" = [
    pa.field("tile_id", pa.string(), nullable=False),
    pa.field("split", pa.string(), nullable=False),
    pa.field("label", pa.string(), nullable=False),
    pa.field("predicted", pa.string(), nullable=False),
    pa.field("probability", pa.float32(), nullable=False),
    pa.field("probabilities", pa.list_(pa.float32()), nullable=False),
]
SCHEMA = pa.schema(_FIELDS)
"""`probability` is that of the predicted class; `probabilities` has one value per class, in the order of `class_names`
in the key-value metadata of the file. One column per class could clash with another column's name."""

ROWS_A_GROUP = 65_536
"""Rows per write: few enough for the 32-bit offsets of a list column with any number of classes."""


def write_predictions(predictions: Sequence[SplitPredictions], manifest: Manifest, path: Path) -> None:
    """Write predictions sorted by split and tile id, with the class names and the digest of the data as metadata.

    The same predictions give the same bytes.
    """
    metadata = {
        "tilepipe_version": VERSION,
        "name": manifest.name,
        "digest": manifest.digest,
        "class_names": list(manifest.class_names),
    }
    schema = SCHEMA.with_metadata({b"tilepipe": json.dumps(metadata, sort_keys=True).encode()})
    with whole_file(path) as partial, pq.ParquetWriter(partial, schema, compression="zstd") as writer:
        for one in sorted(predictions, key=lambda p: p.split):
            for start in range(0, len(one.tile_ids), ROWS_A_GROUP):
                rows = slice(start, start + ROWS_A_GROUP)
                writer.write_table(_table(one, rows, manifest.class_names, schema))


def _table(predictions: SplitPredictions, rows: slice, class_names: tuple[str, ...], schema: pa.Schema) -> pa.Table:
    probabilities, labels = predictions.probabilities[rows], predictions.labels[rows]
    tiles, classes = probabilities.shape
    names = pa.array(class_names, pa.string())
    offsets = pa.array(np.arange(0, (tiles + 1) * classes, classes), pa.int32())
    columns: list[pa.Array[Any]] = [
        pa.array(predictions.tile_ids[rows], pa.string()),
        pa.repeat(pa.scalar(predictions.split, pa.string()), tiles),
        names.take(pa.array(labels, pa.int64())),
        names.take(pa.array(probabilities.argmax(axis=1), pa.int64())),
        pa.array(probabilities.max(axis=1), pa.float32()),
        pa.ListArray.from_arrays(offsets, pa.array(probabilities.ravel(), pa.float32())),
    ]
    return pa.Table.from_arrays(columns, schema=schema)
