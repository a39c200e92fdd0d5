"""KFP component of `snapshot`."""

from kfp import dsl

from tilepipe.components.shared import images


@dsl.component(base_image=images.DATA, install_kfp_package=False)
def snapshot_source(
    snapshot: str = "",
) -> str:
    """Choose the time as of which the source is read, so that no recurring run is served from Kubeflow's cache.

    Args:
        snapshot: ISO 8601 time as of which the source is read; set another to read a changed source again. Default:
            none, or in a recurring run the time at which it was triggered.

    Returns:
        Time for the later steps; empty for none.
    """
    from tilepipe.components.shared.runtime.step import step
    from tilepipe.components.snapshot.config import SnapshotConfig
    from tilepipe.components.snapshot.snapshot import choose_snapshot

    with step("snapshot"):
        return choose_snapshot(SnapshotConfig.from_arguments(locals()))
