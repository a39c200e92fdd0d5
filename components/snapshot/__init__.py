"""Fix the moment of the source that a run reads."""

from tilepipe.components.snapshot.component import snapshot_source

__all__ = ["snapshot_source"]
