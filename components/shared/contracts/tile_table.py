"""The tile table: one row per tile, sorted by `tile_id`, as Parquet (GeoParquet 1.1 where there is a geometry)."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from tilepipe.components.shared.errors import ArtifactError
from tilepipe.components.shared.storage.atomic import whole_file
from tilepipe.components.shared.version import VERSION

_FIELDS: "list[pa.Field[Any]]" = [
    pa.field("tile_id", pa.string(), nullable=False),
    pa.field("uri", pa.string(), nullable=False),
    pa.field("member", pa.string()),
    pa.field("offset", pa.int64()),
    pa.field("band_uris", pa.list_(pa.string())),
    pa.field("label", pa.string()),
    pa.field("split", pa.string()),
    pa.field("group", pa.string()),
    pa.field("datetime", pa.timestamp("us", tz="UTC")),
    pa.field("bbox", pa.struct([pa.field(name, pa.float64()) for name in ("xmin", "ymin", "xmax", "ymax")])),
    pa.field("geometry", pa.binary()),
    pa.field("bytes", pa.int64()),
    pa.field("checksum", pa.string()),
]
SCHEMA = pa.schema(_FIELDS)
"""A tile is the whole object at `uri`; or its `member`, where the object is a zip; or `bytes` bytes from `offset`,
where it is a TFRecord file; or, where each band has a file of its own, the files `band_uris` in the order of the bands,
the first of which is `uri`. `geometry` is WKB in longitude and latitude (OGC:CRS84); `checksum` is a multihash in
hexadecimal, as STAC's `file:checksum`. All but `tile_id` and `uri` may be null."""

_METADATA_KEY = "tilepipe"
_GROUP_ROWS = 131_072
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_GEOMETRY_TYPES = (
    "Geometry",
    "Point",
    "LineString",
    "Polygon",
    "MultiPoint",
    "MultiLineString",
    "MultiPolygon",
    "GeometryCollection",
)


class RecordFeature(BaseModel):
    """A feature of a `tf.train.Example` that holds one band's pixels, row by row."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """The feature's name, as the records have it."""
    dtype: str
    height: int
    width: int


class TileTableInfo(BaseModel):
    """What the table's key-value metadata hold beside the rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """The data set's name: a collection's id, or a folder's name."""
    source: str
    source_kind: str
    query: dict[str, Any] = {}
    """What was asked of the source, as given."""
    snapshot: str = ""
    """When the source is taken to have been read, ISO 8601, or empty."""
    bands: tuple[str, ...] = ()
    """Physical order of the bands in the tiles; empty where only the files know."""
    bands_stated_by: str = "nobody"
    """`user`, `metadata` or `nobody`."""
    record_features: tuple[RecordFeature, ...] = ()
    """In the order of `bands`; empty where the tiles are no TFRecords."""
    class_names: tuple[str, ...] = ()
    tilepipe_version: str = VERSION


def write_tile_table(rows: pa.Table | pa.RecordBatchReader, info: TileTableInfo, path: Path) -> None:
    """Write a tile table, whole or not at all; the same rows give the same bytes.

    Args:
        rows: columns as in `SCHEMA`; a table in any order, or batches sorted by `tile_id`, which are written as they
            come.
        info: what the key-value metadata shall hold.
        path: the file to appear.
    """
    if isinstance(rows, pa.Table):
        rows = rows.select(SCHEMA.names).cast(SCHEMA).sort_by("tile_id").to_reader()
    geometry = _Geometry()
    with whole_file(path) as partial, pq.ParquetWriter(partial, SCHEMA, compression="zstd") as writer:
        for group in _groups(rows):
            geometry.add(group)
            writer.write_table(group, row_group_size=_GROUP_ROWS)
        metadata = {_METADATA_KEY: info.model_dump_json()}
        if geometry.types:
            metadata["geo"] = json.dumps(geometry.metadata(), sort_keys=True)
        writer.add_key_value_metadata(metadata)


def _groups(rows: pa.RecordBatchReader) -> Iterator[pa.Table]:
    """Row groups of the same size however the batches come, so that the same rows give the same bytes."""
    waiting = SCHEMA.empty_table()
    for batch in rows:
        waiting = pa.concat_tables([waiting, pa.Table.from_batches([batch]).cast(SCHEMA)])
        while waiting.num_rows >= _GROUP_ROWS:
            yield waiting.slice(0, _GROUP_ROWS).combine_chunks()
            waiting = waiting.slice(_GROUP_ROWS)
    if waiting.num_rows:
        yield waiting.combine_chunks()


def read_tile_table(path: Path, columns: list[str] | None = None) -> tuple[pa.Table, TileTableInfo]:
    """Read a tile table.

    Args:
        path: the artifact's file.
        columns: which columns to read; all, unless given.

    Returns:
        The rows, sorted by `tile_id`, and what the metadata hold.

    Raises:
        ArtifactError: the file is not a tile table.
    """
    try:
        with pq.ParquetFile(path) as file:
            return file.read(columns=columns), _info(file)
    except (pa.ArrowException, ValidationError, OSError) as error:
        raise damaged(path, str(error)) from error


def read_tile_table_info(path: Path) -> TileTableInfo:
    """Read what a tile table's metadata hold, and none of its rows.

    Args:
        path: the artifact's file.

    Returns:
        What the metadata hold.

    Raises:
        ArtifactError: the file is not a tile table.
    """
    try:
        with pq.ParquetFile(path) as file:
            return _info(file)
    except (pa.ArrowException, ValidationError, OSError) as error:
        raise damaged(path, str(error)) from error


def damaged(path: Path, said: str) -> ArtifactError:
    """The error that says that a file is no tile table, and what its reader said of it."""
    return ArtifactError(
        f"A tile table must be a Parquet file that `ingest` wrote. Received: {path}, which reads as: {said}."
    )


def _info(file: pq.ParquetFile) -> TileTableInfo:
    return TileTableInfo.model_validate_json((file.metadata.metadata or {}).get(_METADATA_KEY.encode(), b""))


@dataclass
class _Geometry:
    """What GeoParquet's metadata say of the geometries, gathered as they pass."""

    types: set[str] = field(default_factory=set)
    corners: dict[str, float] = field(default_factory=dict)

    def add(self, table: pa.Table) -> None:
        shapes = table["geometry"].drop_null()
        for head in pc.unique(pc.binary_slice(shapes, 0, 5)).to_pylist():
            self.types.add(_geometry_type(bytes(head or b"")))
        boxes = table["bbox"].combine_chunks()
        if boxes.null_count < len(boxes):
            for name, smallest in (("xmin", True), ("ymin", True), ("xmax", False), ("ymax", False)):
                values = pc.struct_field(boxes, name)
                value = (pc.min if smallest else pc.max)(values).as_py()
                known = self.corners.get(name, value)
                self.corners[name] = min(known, value) if smallest else max(known, value)

    def metadata(self) -> dict[str, Any]:
        # https://geoparquet.org/releases/v1.1.0/; no `crs` means OGC:CRS84
        covering = {name: ["bbox", name] for name in _CORNERS}
        column: dict[str, Any] = {
            "encoding": "WKB",
            "geometry_types": sorted(self.types),
            "covering": {"bbox": covering},
        }
        if self.corners:
            column["bbox"] = [self.corners[name] for name in _CORNERS]
        return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}


def _geometry_type(shape: bytes) -> str:
    """GeoParquet's name of a WKB geometry's type, from its byte order and the number after it."""
    code = int.from_bytes(shape[1:5], "little" if shape[0] == 1 else "big")
    has_z = bool(code & 0x80000000) or code % 10000 // 1000 == 1  # the two ways of writing it: EWKB's and ISO's
    name = _GEOMETRY_TYPES[(code & 0xFFFF) % 1000]
    return f"{name} Z" if has_z else name
