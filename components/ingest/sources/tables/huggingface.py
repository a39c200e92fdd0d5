"""Parquet files of Hugging Face's `datasets`: images as structs, classes as numbers with names in the metadata.

https://huggingface.co/docs/datasets/about_dataset_features
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tilepipe.components.ingest.sources.duckdb_files import fields
from tilepipe.components.shared.runtime.database import quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from duckdb.sqltypes import DuckDBPyType


def is_image(kind: "DuckDBPyType") -> bool:
    """Return True if a column holds images: as structs of `bytes` and `path`, or as encoded bytes."""
    return kind.id == "blob" or {"bytes", "path"} <= set(fields(kind))


def holds_images(connection: "DuckDBPyConnection", relation: str, column: str, kind: "DuckDBPyType") -> bool:
    """Return True if a column of images of a relation holds encoded images, not only their paths."""
    if kind.id == "blob":
        return True
    query = f"SELECT 1 FROM {relation} WHERE {quoted(column)}.bytes IS NOT NULL LIMIT 1"  # noqa: S608
    return bool(connection.execute(query).fetchall())


def features(metadata: Sequence[Any]) -> dict[str, dict[str, Any]]:
    """Return the features by column that the `datasets` metadata of Parquet files state; empty without any."""
    try:
        stated: Any = metadata[0]["info"]["features"] if metadata else {}
    except (KeyError, TypeError):
        return {}
    if not isinstance(stated, dict):
        return {}
    return {name: feature for name, feature in stated.items() if isinstance(feature, dict)}


def class_names(features: Mapping[str, Mapping[str, Any]], column: str) -> tuple[str, ...]:
    """Return the names of the classes of a column by their number; empty if its feature states none."""
    feature = features.get(column, {})
    names = feature.get("names")
    return tuple(map(str, names)) if feature.get("_type") == "ClassLabel" and isinstance(names, list) else ()
