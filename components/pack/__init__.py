"""Decode tiles once, and write them as a few large shards."""

from tilepipe.components.pack.component import pack_tiles

__all__ = ["pack_tiles"]
