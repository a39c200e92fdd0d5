"""The tile table: one row a tile, sorted by `tile_id`, as Parquet (GeoParquet 1.1 where there is a geometry)."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from tilepipe.components.shared.atomic import whole_file
from tilepipe.components.shared.errors import ArtifactError
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
"""A tile is the whole object at `uri`; or its `member`, where the object is a zip; or `bytes` bytes from `offset`, where
it is a TFRecord file; or, where each band has a file of its own, the files `band_uris` in the order of the bands, the
first of which is `uri`. `geometry` is WKB in longitude and latitude (OGC:CRS84); `checksum` is a multihash in
hexadecimal, as STAC's `file:checksum`. All but `tile_id` and `uri` may be null."""

_METADATA_KEY = b"tilepipe"
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


def write_tile_table(table: pa.Table, info: TileTableInfo, path: Path) -> None:
    """Write a tile table, whole or not at all; the same rows give the same bytes.

    Args:
        table: columns as in `SCHEMA`, in any row order.
        info: what the key-value metadata shall hold.
        path: the file to appear.
    """
    table = table.select(SCHEMA.names).cast(SCHEMA).sort_by("tile_id")
    metadata = {_METADATA_KEY: info.model_dump_json().encode()}
    if table["geometry"].null_count < table.num_rows:
        metadata[b"geo"] = json.dumps(_geoparquet_metadata(table), sort_keys=True).encode()
    with whole_file(path) as partial:
        pq.write_table(table.replace_schema_metadata(metadata), partial, compression="zstd")


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
        table = pq.read_table(path, columns=columns)
        info = TileTableInfo.model_validate_json((table.schema.metadata or {}).get(_METADATA_KEY, b""))
    except (pa.ArrowException, ValidationError, OSError) as error:
        raise ArtifactError(
            f"A tile table must be a Parquet file that `ingest` wrote. Received: {path}, which reads as: {error}."
        ) from error
    return table, info


def _geoparquet_metadata(table: pa.Table) -> dict[str, Any]:
    # https://geoparquet.org/releases/v1.1.0/; no `crs` means OGC:CRS84
    covering = {name: ["bbox", name] for name in ("xmin", "ymin", "xmax", "ymax")}
    types = sorted({_geometry_type(shape) for shape in table["geometry"].to_pylist() if shape is not None})
    column: dict[str, Any] = {"encoding": "WKB", "geometry_types": types, "covering": {"bbox": covering}}
    boxes = table["bbox"].combine_chunks()
    if boxes.null_count < len(boxes):
        west, south = (pc.min(pc.struct_field(boxes, name)).as_py() for name in ("xmin", "ymin"))
        east, north = (pc.max(pc.struct_field(boxes, name)).as_py() for name in ("xmax", "ymax"))
        column["bbox"] = [west, south, east, north]
    return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}


def _geometry_type(shape: bytes) -> str:
    """GeoParquet's name of a WKB geometry's type, from its byte order and the number after it."""
    code = int.from_bytes(shape[1:5], "little" if shape[0] == 1 else "big")
    has_z = bool(code & 0x80000000) or code % 10000 // 1000 == 1  # the two ways of writing it: EWKB's and ISO's
    name = _GEOMETRY_TYPES[(code & 0xFFFF) % 1000]
    return f"{name} Z" if has_z else name
