"""Author of a promotion, for the history."""

import getpass
import os
import socket

from tilepipe.components.shared.runtime import cluster
from tilepipe.components.shared.tracking import tracking


def author() -> str:
    """Return the Kubeflow run and its namespace on a cluster, else `user@host`."""
    if cluster.workflow_name():
        return (
            f"Kubeflow run {tracking.kfp_run_id() or cluster.workflow_name()} in {cluster.namespace() or 'a cluster'}"
        )
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a user id without a name
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"
