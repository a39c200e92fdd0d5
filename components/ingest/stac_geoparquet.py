"""A STAC-GeoParquet: one row an item, its properties as columns and its assets as a struct.

Read through DuckDB, which fetches only the columns and the fields of the assets that are used: the `raster:bands` of
thirteen bands alone would cost more than all the rest. A file in a bucket is staged, so that DuckDB needs no extension
from the web.
"""

import contextlib
import json
import logging
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa

from tilepipe.components.ingest.config import IngestConfig, SourceKind
from tilepipe.components.ingest.hrefs import HrefResolver
from tilepipe.components.ingest.rows import TileRow
from tilepipe.components.ingest.stac_item import ItemReader
from tilepipe.components.shared import storage
from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.progress import Progress

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation
    from duckdb.sqltypes import DuckDBPyType

logger = logging.getLogger("tilepipe.ingest")

_ITEM_COLUMNS = ("id", "collection", "bbox", "geometry", "assets")
_PROPERTIES = ("datetime", "start_datetime", "class", "label", "label:overviews", "bands", "eo:bands")
_ASSET_FIELDS = ("href", "type", "roles", "file:size", "file:checksum", "bands", "eo:bands")
_BAND_FIELDS = ("name", "eo:common_name", "common_name")


@dataclass
class StacGeoParquet:
    """A STAC-GeoParquet file: https://github.com/radiantearth/stac-geoparquet-spec.

    Args:
        file: its address, normalised.
        config: the step's parameters.
    """

    file: str
    config: IngestConfig
    kind: SourceKind = "stac-geoparquet"
    _collection_ids: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        """The one collection's id, or the file's name where there are several or none."""
        return next(iter(self._collection_ids)) if len(self._collection_ids) == 1 else Path(self.file).stem

    def rows(self) -> Iterator[TileRow]:
        """Yield the tiles, in the file's order.

        Raises:
            SourceError: the file is missing, no STAC-GeoParquet, or an item in it is malformed.
        """
        import duckdb

        try:
            with storage.staged(self.file) as local, _linked(local) as path, _connect() as connection:
                yield from self._read(connection, path)
        except duckdb.Error as error:
            reason = re.sub(
                r"\S*/items\.parquet'?", self.file, str(error).splitlines()[0]
            )  # the link's name says nothing
            raise SourceError(
                f"A STAC-GeoParquet must be a Parquet file. Received: {self.file}, which reads as: {reason}."
            ) from None

    def _read(self, connection: "DuckDBPyConnection", path: str) -> Iterator[TileRow]:
        options, folder = self.config.options, storage.parent(self.file)
        resolver = HrefResolver(folder, self.config.href_rewrite)
        reader = ItemReader(resolver, options.asset_key, options.label_property, self.config.split_property)
        collections = _collections(connection, path)
        everything = connection.sql("SELECT * FROM read_parquet(?)", params=[path])
        properties = (*_PROPERTIES, options.label_property, self.config.split_property)
        relation = everything.project(self._projection(everything, set(properties)))
        progress = Progress(logger, "read", len(everything), "items")
        for batch in pa.RecordBatchReader.from_stream(relation):
            for columns in batch.to_pylist():
                item = {name: columns.pop(name, None) for name in _ITEM_COLUMNS}
                item["properties"] = {name: value for name, value in columns.items() if value is not None}
                item["assets"] = _present(item["assets"])
                collection_id = str(item["collection"] or "")
                if collection_id:
                    self._collection_ids.add(collection_id)
                yield reader.row(item, folder=folder, where=self.file, collection=collections.get(collection_id))
            progress.advance(batch.num_rows)
        progress.finish()

    def _projection(self, relation: "DuckDBPyRelation", properties: set[str]) -> str:
        types = dict(zip(relation.columns, relation.types, strict=True))
        missing = [name for name in ("id", "assets") if name not in types]
        if missing or types["assets"].id != "struct":
            raise SourceError(
                "A STAC-GeoParquet must have a column id, and a column assets with a struct for each asset. "
                f"Received: {self.file} with the columns {sorted(types)}."
            )
        expressions = []
        for name, kind in types.items():
            if name == "assets":
                packed = (f"{_quoted(key)} := {_asset(key, asset)}" for key, asset in _fields(kind).items())
                expressions.append(f"struct_pack({', '.join(packed)}) AS assets")
            elif name in {"bands", "eo:bands"}:
                expressions.append(f"{_band_names(_quoted(name), kind)} AS {_quoted(name)}")
            elif name in properties or name in _ITEM_COLUMNS:
                expressions.append(_quoted(name))
        return ", ".join(expressions)


def _asset(key: str, kind: "DuckDBPyType") -> str:
    column = f"assets.{_quoted(key)}"
    if kind.id != "struct":
        return column
    fields = []
    for name, field_kind in _fields(kind).items():
        value = f"{column}.{_quoted(name)}"
        if name in {"bands", "eo:bands"}:
            value = _band_names(value, field_kind)
        if name in _ASSET_FIELDS:
            fields.append(f"{_quoted(name)} := {value}")
    return f"CASE WHEN {column} IS NULL THEN NULL ELSE struct_pack({', '.join(fields)}) END" if fields else column


def _band_names(value: str, kind: "DuckDBPyType") -> str:
    """An expression for a list of bands with nothing but what they may be called by."""
    if kind.id != "list":
        return value
    element = _fields(kind).get("child")
    if element is None or element.id != "struct":
        return value
    names = [name for name in _fields(element) if name in _BAND_FIELDS]
    packed = ", ".join(f"{_quoted(name)} := band.{_quoted(name)}" for name in names)
    return f"[struct_pack({packed}) FOR band IN {value}]" if names else "NULL"


def _fields(kind: "DuckDBPyType") -> "dict[str, DuckDBPyType]":
    """A struct's fields by name; of a list, its element as `child`."""
    return cast("dict[str, DuckDBPyType]", dict(kind.children))


def _present(assets: object) -> object:
    """The assets that an item really has, with the fields they really have: a struct holds nulls for all others."""
    if not isinstance(assets, dict):
        return assets
    return {
        key: {name: value for name, value in asset.items() if value is not None} if isinstance(asset, dict) else asset
        for key, asset in assets.items()
        if asset is not None
    }


def _collections(connection: "DuckDBPyConnection", path: str) -> dict[str, dict[str, Any]]:
    """The collections in the file's own metadata, where the writer left them: version 1.1 of the specification."""
    found = connection.execute(
        "SELECT value FROM parquet_kv_metadata(?) WHERE key = 'stac-geoparquet'::BLOB", [path]
    ).fetchall()
    try:
        stated = json.loads(bytes(found[0][0])) if found else {}
    except ValueError:
        stated = {}
    collections = stated.get("collections") if isinstance(stated, dict) else None
    if not isinstance(collections, dict):
        return {}
    return {name: value for name, value in collections.items() if isinstance(value, dict)}


def _connect() -> "DuckDBPyConnection":
    import duckdb

    return duckdb.connect(config={"autoinstall_known_extensions": False, "autoload_known_extensions": False})


@contextlib.contextmanager
def _linked(path: Path) -> Iterator[str]:
    """A link to a file under a name without `*`, `?` and `[`, which DuckDB would take as a pattern."""
    with tempfile.TemporaryDirectory(prefix="tilepipe-") as folder:
        link = Path(folder) / "items.parquet"
        link.symlink_to(path.absolute())
        yield str(link)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
