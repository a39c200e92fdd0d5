"""The common interface of the sources, and their rows: one per tile."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from tilepipe.components.ingest.config import SourceKind
from tilepipe.components.shared.contracts.tile_table import TableRow


@dataclass(frozen=True, slots=True, kw_only=True)
class TileRow(TableRow):
    """One tile as stated by its source, before selection and split: `split` is the source's own name of the split."""

    bands: tuple[str, ...] = ()
    """Canonical names in the order stated by the source; empty if it states none."""
    stated_raster: str | None = None
    """Statements of the source about the pixels, as JSON: nodata, scale, offset, processing baseline."""
    stated_sensor: str | None = None
    """Statements of the source about the sensor, as JSON: common names of the bands, platform."""
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
