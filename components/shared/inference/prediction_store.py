"""The place where recurring predictions are kept: one Parquet file, a partition, per run."""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tilepipe.components.shared.errors import ArtifactError, ParameterError
from tilepipe.components.shared.storage import storage
from tilepipe.components.shared.storage.place import Place

METADATA_KEY = b"tilepipe"
"""Key of the facts about a partition in the metadata of its file, as JSON."""
_SUFFIX = ".parquet"


@dataclass(frozen=True)
class KnownTiles:
    """Tiles of a partition."""

    ids: "pa.ChunkedArray[Any]"
    source: str
    """Address of their source; empty in partitions of earlier versions, or of other programs."""


class PredictionStore:
    """Partitions in a local folder or in S3.

    A tile is identified by its id, and predicted once, whatever model predicted it.

    Args:
        address: Normalized address of the folder or prefix; it need not exist.
        class_names: Classes of the predictions, which all partitions share.
    """

    def __init__(self, address: str, class_names: Collection[str]) -> None:
        self._address, self._class_names = address, class_names
        self._place = Place(address)

    def partitions(self) -> list[str]:
        """Return the names of the partitions, sorted."""
        return sorted(name for name in self._place.sizes() if name.endswith(_SUFFIX) and "/" not in name)

    def known_tiles(self, *, besides: str = "") -> Iterator[KnownTiles]:
        """Yield the tiles of each partition, and check its columns and classes.

        Of several files, DuckDB and Arrow read only the probabilities that the first one has, without a warning.

        Args:
            besides: Name of a partition to leave out.

        Yields:
            The tiles of one partition.

        Raises:
            ArtifactError: A file is not a partition.
            ParameterError: A partition has other classes.
            StorageError: The place cannot be read.
        """
        for name in self.partitions():
            if name == besides:
                continue
            uri = f"{self._address}/{name}"
            with storage.staged(uri) as path:
                try:
                    metadata = pq.read_metadata(path)
                    schema = metadata.schema.to_arrow_schema()
                    classes = set(_classes_of(schema))
                    if classes and classes != set(self._class_names):
                        raise self._other_classes(uri, classes)
                    schema.field("class")  # tables of tiles have ids too, which nobody has predicted
                    ids = pq.read_table(path, columns=["tile_id"])["tile_id"].cast(pa.string())
                except (pa.ArrowException, KeyError, OSError) as error:
                    reason = " ".join(str(error).split()).removesuffix(".")
                    raise ArtifactError(
                        f"`output_uri` must hold predictions only. Received: {uri}, which reads as: {reason}. Remove "
                        "the file, or give another output_uri."
                    ) from error
            yield KnownTiles(ids, _source_of(metadata))

    def _other_classes(self, uri: str, classes: set[str]) -> ParameterError:
        ours = set(self._class_names)
        differences = (("without", classes - ours), ("with", ours - classes))
        found = " and ".join(f"{how} {', '.join(sorted(names))}" for how, names in differences if names)
        return ParameterError(
            "All predictions in `output_uri` must be of the same classes, to be read as one table. "
            f"Received: a model {found}, unlike {uri}. Give another output_uri."
        )

    def append(self, name: str, path: Path) -> str:
        """Write a local file as a partition, completely or not at all, and return its address.

        A partition of the same name is replaced.

        Raises:
            StorageError: The place cannot be written, or does not list the partition.
        """
        with pa.memory_map(str(path)) as content:
            self._place.write(name, [memoryview(content.read_buffer())], durable=True)
        self._place.check_listed(name)
        return f"{self._address}/{name}"


def _classes_of(schema: pa.Schema) -> list[str]:
    """Return the fields of the column `probabilities`; none without it."""
    if "probabilities" not in schema.names:
        return []
    column = schema.field("probabilities").type
    return [column.field(place).name for place in range(column.num_fields)]


def _source_of(metadata: pq.FileMetaData) -> str:
    """Return the address of the source that the metadata state; empty if they do not."""
    try:
        return str(json.loads((metadata.metadata or {})[METADATA_KEY])["source"])
    except (KeyError, ValueError, TypeError):
        return ""
