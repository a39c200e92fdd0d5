"""What every kind of source yields: one row per tile."""

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from tilepipe.components.ingest.config import SourceKind

BoundingBox = tuple[float, float, float, float]
"""West, south, east and north, in degrees."""


@dataclass(frozen=True, slots=True)
class TileRow:
    """One tile as its source states it, before anything has been chosen or split."""

    tile_id: str
    uri: str
    """Normalised, as `shared.storage` takes it."""
    label: str | None
    member: str | None = None
    """Path within the zip at `uri`."""
    offset: int | None = None
    """Where the record starts in the TFRecord file at `uri`."""
    band_uris: tuple[str, ...] | None = None
    """One address per band, in the order of `bands`, where each band has a file of its own; the first is `uri`."""
    split: str | None = None
    """What the source itself calls the tile's split, in the source's spelling."""
    group: str | None = None
    datetime: dt.datetime | None = None
    bbox: BoundingBox | None = None
    geometry: bytes | None = None
    """WKB in longitude and latitude."""
    bytes: int | None = None
    checksum: str | None = None
    """Multihash in hexadecimal."""
    bands: tuple[str, ...] = ()
    """Canonical names in the order that the source states; empty where it states none."""
    properties: Mapping[str, Any] = field(default_factory=dict)
    """Scalars by name: those of the source's own properties that `where` asks for."""


class TileSource(Protocol):
    """A source that has been opened; one module per kind. It is a `RowSource` or a `ColumnSource`."""

    @property
    def kind(self) -> SourceKind:
        """What the source is."""

    @property
    def name(self) -> str:
        """The data set's name as the source has it; known once all of it has been read."""


@runtime_checkable
class RowSource(TileSource, Protocol):
    """A source whose tiles come one by one."""

    def rows(self) -> Iterator[TileRow]:
        """Yield the tiles, in any order.

        Raises:
            SourceError: something in the source is missing, malformed or leads out of it.
        """
