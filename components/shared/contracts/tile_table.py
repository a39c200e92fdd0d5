"""The tile table: one row per tile, sorted by `tile_id`, as Parquet (GeoParquet 1.1 if there are geometries)."""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, get_args, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, ValidationError

from tilepipe.components.shared.contracts.bands import BandScaling
from tilepipe.components.shared.contracts.geometry_column import CORNERS, GeometryColumn
from tilepipe.components.shared.contracts.json_model import SparseModel
from tilepipe.components.shared.contracts.product import Product
from tilepipe.components.shared.errors import ArtifactError
from tilepipe.components.shared.storage.atomic import whole_file
from tilepipe.components.shared.version import VERSION

BoundingBox = tuple[float, float, float, float]
"""West, south, east and north, in degrees."""


@dataclass(frozen=True)
class Column:
    """Type and description of a column of the tile table."""

    type: pa.DataType
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """One row of the tile table: the list of its columns, from which `COLUMNS` and `SCHEMA` are derived.

    A tile is the whole object at `uri`; or its `member`, if the object is a zip; or `bytes` bytes from `offset`, if it
    is a TFRecord file or a tar; or the value in the column `member` and the row `offset`, if it is a Parquet file; or
    the files `band_uris`, if each band has its own file.
    """

    tile_id: Annotated[
        str,
        Column(
            pa.string(),
            "the item's id, the file's path below the folder, the id or address in a table, `<file>#<number>` of a "
            "record or an image in Parquet; unique",
        ),
    ]
    uri: Annotated[str, Column(pa.string(), "the file: local, `s3://` or on the web")]
    member: Annotated[
        str | None, Column(pa.string(), "the path within the zip, or the column of the Parquet file at `uri`")
    ] = None
    offset: Annotated[
        int | None,
        Column(
            pa.int64(),
            "where the `bytes` bytes start in the TFRecord file or tar at `uri`, decompressed; those of a record "
            "include its framing; with `member`, the row of the Parquet file, from 0",
        ),
    ] = None
    band_uris: Annotated[
        tuple[str, ...] | None,
        Column(pa.list_(pa.string()), "one file per band, in the order of the bands; the first is `uri`"),
    ] = None
    label: Annotated[str | None, Column(pa.string(), "the class, after recoding")] = None
    split: Annotated[str | None, Column(pa.string(), "`train`, `val` or `test`")] = None
    group: Annotated[
        str | None, Column(pa.string(), "the value of `columns.group`; with `split_by=block`, the block")
    ] = None
    datetime: Annotated[dt.datetime | None, Column(pa.timestamp("us", tz="UTC"), "the time of acquisition, UTC")] = None
    bbox: Annotated[
        BoundingBox | None,
        Column(pa.struct([pa.field(name, pa.float64()) for name in CORNERS]), "the bounding box in degrees"),
    ] = None
    geometry: Annotated[bytes | None, Column(pa.binary(), "WKB in longitude and latitude (OGC:CRS84)")] = None
    bytes: Annotated[int | None, Column(pa.int64(), "the size according to the source")] = None
    checksum: Annotated[
        str | None,
        Column(
            pa.string(),
            "a multihash in hexadecimal: `file:checksum`, an ETag that is an MD5, the SHA-256 of a record",
        ),
    ] = None


_HINTS = get_type_hints(TableRow, include_extras=True)
COLUMNS: Mapping[str, Column] = {name: hint.__metadata__[0] for name, hint in _HINTS.items()}
"""Name -> column of the tile table, in order."""

SCHEMA = pa.schema(
    [
        pa.field(name, column.type, nullable=type(None) in get_args(_HINTS[name].__origin__))
        for name, column in COLUMNS.items()
    ]
)
"""Arrow schema of the tile table; all columns but `tile_id` and `uri` may be null."""

SCALING = pa.field("scaling", pa.list_(pa.float64()))
"""Optional column, for tiles of several scales or offsets that are applied: scale and offset of each band in turn, or
of all bands."""

_METADATA_KEY = "tilepipe"
_UNREADABLE = (pa.ArrowException, ValidationError, OSError, UnicodeDecodeError)
"""Errors of reading a damaged file."""
_GROUP_ROWS = 131_072
ENCODED = "encoded"
"""`RecordFeature.dtype` of a feature that holds an image file, such as a JPEG, with all bands."""


class RecordFeature(SparseModel):
    """A feature of a `tf.train.Example` that holds the pixels of one band, or of all bands, row by row."""

    omitted_if_default: ClassVar[frozenset[str]] = frozenset({"bands"})

    name: str
    """Name of the feature, as spelled in the records."""
    dtype: str
    height: int
    width: int
    bands: int = 1
    """Number of bands, which are interleaved by pixel."""

    @property
    def holds_all_bands(self) -> bool:
        """True if this is the only feature and holds an image of all bands."""
        return self.dtype == ENCODED or self.bands > 1


class TileTableInfo(SparseModel):
    """Key-value metadata of the table."""

    omitted_if_default: ClassVar[frozenset[str]] = frozenset(
        {"nodata", "common_names", "platform", "product", "scaling"}
    )

    name: str
    """Name of the data set: a collection's id, or a folder's name."""
    source: str
    source_kind: str
    query: dict[str, Any] = Field(default_factory=dict)
    """Parameters of the step."""
    snapshot: str = ""
    """ISO 8601 time as of which the source is read, or empty."""
    bands: tuple[str, ...] = ()
    """Bands in the order of the files; empty if only the files state them."""
    bands_stated_by: str = "nobody"
    """`user`, `metadata` or `nobody`."""
    common_names: tuple[str, ...] = ()
    """STAC common name of each band, such as `nir`, or an empty string; empty if the names of the bands say the
    same."""
    platform: str = ""
    """Platform of the tiles if it does not number its bands as Sentinel-2 does, such as `landsat-5`; else empty."""
    nodata: tuple[str | None, ...] = ()
    """Nodata value of each band, or one of all bands, as the source states it; empty if it states none."""
    product: Product = Product()
    """Statements of the source about the product of the tiles."""
    scaling: BandScaling | None = None
    """Scale and offset of each band, or one pair for all bands, that `pack` applies; empty if those of each tile in the
    column `scaling` apply, or else those of its file; None if none are applied."""
    record_features: tuple[RecordFeature, ...] = ()
    """In the order of `bands`; empty if the tiles are not in TFRecords."""
    class_names: tuple[str, ...] = ()
    tilepipe_version: str = VERSION


def write_tile_table(rows: pa.Table | pa.RecordBatchReader, info: TileTableInfo, path: Path) -> None:
    """Write a tile table atomically; the same rows give the same bytes.

    Args:
        rows: columns as in `SCHEMA`, and `SCALING` where it is needed; a table in any order, or batches sorted by
            `tile_id`.
        info: key-value metadata.
        path: path of the file.
    """
    schema = SCHEMA.append(SCALING) if SCALING.name in rows.schema.names else SCHEMA
    if isinstance(rows, pa.Table):
        rows = rows.select(schema.names).cast(schema).sort_by("tile_id").to_reader()
    geometry = GeometryColumn()
    # Within the Arrow schema, a program that reads the table with pyarrow and writes some of its rows keeps it.
    stated = schema.with_metadata({_METADATA_KEY: info.model_dump_json()})
    with whole_file(path) as partial, pq.ParquetWriter(partial, stated, compression="zstd") as writer:
        tables = (pa.Table.from_batches([batch]).cast(schema) for batch in rows)
        for group in regrouped(tables, schema, _GROUP_ROWS):
            geometry.add(group)
            writer.write_table(group.combine_chunks(), row_group_size=_GROUP_ROWS)
        if geometry.types:
            writer.add_key_value_metadata({"geo": geometry.metadata()})


def regrouped(tables: Iterable[pa.Table], schema: pa.Schema, count: int) -> Iterator[pa.Table]:
    """Yield the rows of tables with a schema, `count` at a time whatever the tables; the last ones may be fewer."""
    waiting = schema.empty_table()
    for table in tables:
        waiting = pa.concat_tables([waiting, table])
        while waiting.num_rows >= count:
            yield waiting.slice(0, count)
            waiting = waiting.slice(count)
    if waiting.num_rows:
        yield waiting


def read_tile_table_info(path: Path) -> TileTableInfo:
    """Read the metadata of a tile table without its rows.

    Raises:
        ArtifactError: if the file is not a tile table.
    """
    try:
        with pq.ParquetFile(path) as file:
            stated = (file.metadata.metadata or {}).get(_METADATA_KEY.encode())
        if stated is not None:
            return TileTableInfo.model_validate_json(stated)
    except _UNREADABLE as error:
        raise damaged(path, str(error)) from error
    raise ArtifactError(
        f"A tile table must have the metadata of ingest, under the key {_METADATA_KEY!r} of the Parquet file. "
        f"Received: {path}, which lacks it, as after another program has written it. Select tiles with `where` of "
        "ingest, or copy the metadata: pyarrow keeps it in the schema of the table, "
        "`new.replace_schema_metadata(pyarrow.parquet.read_schema(old).metadata)`."
    )


def damaged(path: Path, said: str) -> ArtifactError:
    """Return the error for a file that is not a tile table, with the message of its reader."""
    return ArtifactError(
        f"A tile table must be a Parquet file written by ingest. Received: {path}, which reads as: {said}. "
        "Run ingest again."
    )
