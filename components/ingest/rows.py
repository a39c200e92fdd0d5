"""What every kind of source yields: one row a tile."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from tilepipe.components.ingest.config import SourceKind

BoundingBox = tuple[float, float, float, float]
"""West, south, east and north, in degrees."""


@dataclass(frozen=True, slots=True)
class TileRow:
    """One tile as its source states it, before it has been split."""

    tile_id: str
    uri: str
    """Normalised, as `shared.storage` takes it."""
    label: str | None
    split: str | None = None
    """What the source itself calls the tile's split, in the source's spelling."""
    datetime: dt.datetime | None = None
    bbox: BoundingBox | None = None
    geometry: bytes | None = None
    """WKB in longitude and latitude."""
    bytes: int | None = None
    checksum: str | None = None
    """Multihash in hexadecimal."""
    bands: tuple[str, ...] = ()
    """Canonical names in the order that the source states; empty where it states none."""


class TileSource(Protocol):
    """A source that has been opened; one module of this step a kind."""

    @property
    def kind(self) -> SourceKind:
        """What the source is."""

    @property
    def name(self) -> str:
        """The data set's name as the source has it; known once all rows have been read."""

    def rows(self) -> Iterator[TileRow]:
        """Yield the tiles, in any order.

        Raises:
            SourceError: something in the source is missing, malformed or leads out of it.
        """
