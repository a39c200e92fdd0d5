"""The common interface of the sources, and their rows: one per tile."""

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from tilepipe.components.ingest.config import SourceKind

BoundingBox = tuple[float, float, float, float]
"""West, south, east and north, in degrees."""


@dataclass(frozen=True, slots=True)
class TileRow:
    """One tile as stated by its source, before selection and split."""

    tile_id: str
    uri: str
    """Normalized, as `shared.storage` accepts it."""
    label: str | None
    member: str | None = None
    """Path within the zip at `uri`."""
    offset: int | None = None
    """Offset of the record in the TFRecord file at `uri`."""
    band_uris: tuple[str, ...] | None = None
    """URI of one file per band, in the order of `bands`, if each band has its own file; the first is `uri`."""
    split: str | None = None
    """Name of the tile's split in the source, as spelled there."""
    group: str | None = None
    datetime: dt.datetime | None = None
    bbox: BoundingBox | None = None
    geometry: bytes | None = None
    """WKB in longitude and latitude."""
    bytes: int | None = None
    checksum: str | None = None
    """Multihash in hexadecimal."""
    bands: tuple[str, ...] = ()
    """Canonical names in the order stated by the source; empty if it states none."""
    properties: Mapping[str, Any] = field(default_factory=dict)
    """Scalars by name: the source's own properties that `where` uses."""


class TileSource(Protocol):
    """An opened source; one module per kind. It is a `RowSource` or a `ColumnSource`."""

    @property
    def kind(self) -> SourceKind:
        """Kind of the source."""

    @property
    def name(self) -> str:
        """Name of the data set in the source; known after all of it has been read."""


@runtime_checkable
class RowSource(TileSource, Protocol):
    """A source whose tiles are read one by one."""

    def rows(self) -> Iterator[TileRow]:
        """Yield the tiles, in any order.

        Raises:
            SourceError: if something in the source is missing, malformed or refers to an address outside it.
        """
