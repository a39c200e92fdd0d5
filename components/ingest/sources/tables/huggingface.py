"""Parquet files of Hugging Face's `datasets`: images as structs, classes as numbers with names in the metadata.

https://huggingface.co/docs/datasets/about_dataset_features
"""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tilepipe.components.shared.runtime.database import quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from duckdb.sqltypes import DuckDBPyType


def is_image(kind: "DuckDBPyType") -> bool:
    """Return True if a column holds images: as structs of `bytes` and `path`, or as encoded bytes."""
    return kind.id == "blob" or (kind.id == "struct" and {"bytes", "path"} <= {name for name, _ in kind.children})


def holds_images(connection: "DuckDBPyConnection", relation: str, column: str, kind: "DuckDBPyType") -> bool:
    """Return True if a column of images of a relation holds encoded images, not only their paths."""
    if kind.id == "blob":
        return True
    query = f"SELECT 1 FROM {relation} WHERE {quoted(column)}.bytes IS NOT NULL LIMIT 1"  # noqa: S608
    return bool(connection.execute(query).fetchall())


def features(connection: "DuckDBPyConnection", paths: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the features of `datasets` in the metadata of Parquet files, by column; empty without any."""
    query = "SELECT value FROM parquet_kv_metadata(?) WHERE key = 'huggingface'::BLOB LIMIT 1"
    found = connection.execute(query, [list(paths)]).fetchall()
    try:
        stated: Any = json.loads(bytes(found[0][0]))["info"]["features"] if found else {}
    except (ValueError, KeyError, TypeError):
        return {}
    if not isinstance(stated, dict):
        return {}
    return {name: feature for name, feature in stated.items() if isinstance(feature, dict)}


def class_names(features: Mapping[str, Mapping[str, Any]], column: str) -> tuple[str, ...]:
    """Return the names of the classes of a column by their number; empty if its feature states none."""
    feature = features.get(column, {})
    names = feature.get("names")
    return tuple(map(str, names)) if feature.get("_type") == "ClassLabel" and isinstance(names, list) else ()
