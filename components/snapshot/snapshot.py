"""Choose the time as of which a run reads its source, so that KFP's cache never returns outdated tiles.

KFP's cache identifies a source by its address, not by its contents. Therefore `ingest` gets a time as a parameter: the
one that the user gives. Otherwise it gets none, so that a repeated run comes from the cache; in a recurring run it gets
the time at which the run was triggered, so that each run reads its source again. Only the cluster knows whether a run
is recurring, since KFP 2.17 fills in time macros in some kinds of recurring runs and not in others
(kubeflow/pipelines #12494).
"""

import logging
from typing import Any

from tilepipe.components.shared.runtime import cluster
from tilepipe.components.snapshot.config import SnapshotConfig

logger = logging.getLogger("tilepipe.snapshot")

_OWNED = "scheduledworkflows.kubeflow.org/isOwnedByScheduledWorkflow"


def choose_snapshot(config: SnapshotConfig) -> str:
    """Choose the snapshot that `ingest` uses.

    Returns:
        ISO 8601: the user's time; else the creation time of the Workflow in a recurring run; else empty.

    Raises:
        kubernetes.client.ApiException: on a cluster, if this run may not read its own Workflow. Treating it as a
            one-off run could give a recurring run the cached result forever.
    """
    if config.snapshot:
        return config.snapshot
    if not cluster.workflow_name():
        return ""
    triggered = triggered_at(cluster.read_workflow())
    message = f"a recurring run: its source is read as of {triggered}" if triggered else "a one-off run: no snapshot"
    logger.info("%s", message)
    return triggered


def triggered_at(workflow: dict[str, Any]) -> str:
    """Return the time at which a recurring run was triggered, ISO 8601; empty for a one-off run.

    Args:
        workflow: the Argo Workflow, as the API server gives it.
    """
    metadata = workflow["metadata"]
    owned = metadata.get("labels", {}).get(_OWNED) == "true" or any(
        owner.get("kind") == "ScheduledWorkflow" for owner in metadata.get("ownerReferences", [])
    )
    return str(metadata["creationTimestamp"]) if owned else ""
