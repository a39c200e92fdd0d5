"""Parquet files of Hugging Face's `datasets`: images as structs, classes as numbers with names in the metadata.

https://huggingface.co/docs/datasets/about_dataset_features
"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.runtime.database import quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from duckdb.sqltypes import DuckDBPyType


def is_image(kind: "DuckDBPyType") -> bool:
    """Return True if a column holds images as structs of `bytes` and `path`."""
    return kind.id == "struct" and {"bytes", "path"} <= {name for name, _ in kind.children}


def check_images(connection: "DuckDBPyConnection", relation: str, column: str, shown: str) -> None:
    """Check that a column of images holds paths, not the images.

    Args:
        connection: the database.
        relation: the table, as written after FROM.
        column: name of the column.
        shown: the table, for messages.

    Raises:
        SourceError: if it holds the encoded images.
    """
    query = f"SELECT 1 FROM {relation} WHERE {quoted(column)}.bytes IS NOT NULL LIMIT 1"  # noqa: S608
    if connection.execute(query).fetchall():
        raise SourceError(
            "A table must hold the addresses of the images, not the images. "
            f"Received: {shown}, whose column {column} holds encoded images (Hugging Face's datasets). Write each "
            "image to a file in a folder of its class, and give the folder above as data_source."
        )


def class_names(connection: "DuckDBPyConnection", paths: Sequence[str], column: str) -> tuple[str, ...]:
    """Return the names of the classes of a column by their number, from the metadata of a Parquet file.

    Args:
        connection: the database.
        paths: names of the files for DuckDB.
        column: name of the column.

    Returns:
        The names; empty if the metadata states none.
    """
    query = "SELECT value FROM parquet_kv_metadata(?) WHERE key = 'huggingface'::BLOB LIMIT 1"
    found = connection.execute(query, [list(paths)]).fetchall()
    try:
        stated: Any = json.loads(bytes(found[0][0]))["info"]["features"][column] if found else {}
    except (ValueError, KeyError, TypeError):
        return ()
    if not isinstance(stated, dict) or stated.get("_type") != "ClassLabel":
        return ()
    names = stated.get("names")
    return tuple(map(str, names)) if isinstance(names, list) else ()
