"""The KFP face of `snapshot`."""

from kfp import dsl

from tilepipe.components.shared import images


@dsl.component(base_image=images.DATA, install_kfp_package=False)
def snapshot_source(snapshot: str = "") -> str:
    """Fix the moment of the source that a run reads, so that a recurring run never answers from the cache.

    Args:
        snapshot: ISO 8601 time as of which the source is read; empty: none, or in a recurring run the time it fired.

    Returns:
        The time that the later steps work with; empty for none.
    """
    from tilepipe.components.shared.runtime.step import step
    from tilepipe.components.snapshot.config import SnapshotConfig
    from tilepipe.components.snapshot.snapshot import choose_snapshot

    with step("snapshot"):
        return choose_snapshot(SnapshotConfig.from_arguments(locals()))
