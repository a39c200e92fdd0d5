"""Turn a source of labelled tiles into the tile table."""

from tilepipe.components.ingest.component import ingest_tiles

__all__ = ["ingest_tiles"]
