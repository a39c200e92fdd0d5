"""The table of the packed tiles, beside the shards."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tilepipe.components.shared.contracts.manifest import Split
from tilepipe.components.shared.storage.atomic import whole_file

_FIELDS: "list[pa.Field[Any]]" = [
    pa.field("tile_id", pa.string(), nullable=False),
    pa.field("split", pa.string(), nullable=False),
    pa.field("digest", pa.binary(16), nullable=False),
]
CONTENTS = pa.schema(_FIELDS)
"""One row per packed tile; `digest` is the digest of its pixels."""

_ROWS = 2048


class Contents:
    """Writer of the table of packed tiles, with bounded memory.

    Args:
        writer: writer of a Parquet file with the columns of `CONTENTS`.
    """

    def __init__(self, writer: pq.ParquetWriter) -> None:
        self._writer = writer
        self._rows: list[tuple[str, Split, bytes]] = []

    def add(self, split: Split, tile_id: str, digest: bytes) -> None:
        """Add a tile."""
        self._rows.append((tile_id, split, digest))
        if len(self._rows) >= _ROWS:
            self.flush()

    def flush(self) -> None:
        """Write the rows that are in memory."""
        if self._rows:
            columns = zip(*self._rows, strict=True)
            arrays = [pa.array(column, kind) for column, kind in zip(columns, CONTENTS.types, strict=True)]
            self._writer.write_batch(pa.record_batch(arrays, schema=CONTENTS))
        self._rows = []


@contextlib.contextmanager
def write_contents(path: Path) -> Iterator[Contents]:
    """Yield a writer of rows to a Parquet file of `CONTENTS`, which appears when the context ends without an error."""
    with whole_file(path) as partial, pq.ParquetWriter(partial, CONTENTS, compression="zstd") as writer:
        contents = Contents(writer)
        yield contents
        contents.flush()
