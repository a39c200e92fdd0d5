"""Choose the registry that the commands use."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.shared.registry.client import registry_client
from tilepipe.components.shared.tracking import sqlite_store, tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient

DATABASE = "mlflow.db"
"""File of the local store in the folder of the runs, which `tilepipe run` writes."""


def open_registry(folder: Path) -> "MlflowClient":
    """Return a client of the registry at `MLFLOW_TRACKING_URI`, else of the local store of `tilepipe run`.

    Args:
        folder: folder of local runs.

    Raises:
        ParameterError: neither exists, or MLflow is not installed.
        TrackingError: the registry cannot be reached.
    """
    require("mlflow")
    tracking.take_settings()
    if not tracking.is_configured():
        database = folder.resolve() / DATABASE
        if not database.is_file():
            raise ParameterError(
                "The registry is that of MLFLOW_TRACKING_URI, or the local store of `tilepipe run`. Received: no "
                f"MLFLOW_TRACKING_URI and no {database}. Set the variable, or give --folder."
            )
        os.environ["MLFLOW_TRACKING_URI"] = sqlite_store.address(database)
    return registry_client()


def require(*packages: str) -> None:
    """Check that packages are installed, which the command line itself does not need.

    Raises:
        ParameterError: one is missing.
    """
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise ParameterError(
            f"This command needs {' and '.join(packages)}. Received: an environment without {', '.join(missing)}. "
            "Install tilepipe[train]."
        )
