"""Choose the registry that the commands use."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tilepipe.components.shared.errors import ParameterError, TilepipeError
from tilepipe.components.shared.registry.client import registry_client
from tilepipe.components.shared.tracking import sqlite_store, tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient

DATABASE = "mlflow.db"
"""File of the local store in the folder of the runs, which `tilepipe run` writes."""


@contextmanager
def open_registry(folder: Path) -> Iterator["MlflowClient"]:
    """Yield a client of the registry at `MLFLOW_TRACKING_URI`, else of the local store of `tilepipe run`.

    Args:
        folder: folder of local runs. If its store is used, commands in errors name it.

    Raises:
        ParameterError: neither exists, or MLflow is not installed.
        TrackingError: the registry cannot be reached.
    """
    require("mlflow")
    tracking.take_settings()
    if tracking.is_configured():
        yield registry_client()
        return
    database = folder.resolve() / DATABASE
    if not database.is_file():
        raise ParameterError(
            "The registry is that of MLFLOW_TRACKING_URI, or the local store of `tilepipe run`. Received: no "
            f"MLFLOW_TRACKING_URI and no {database}. Set the variable, or give --folder."
        )
    os.environ["MLFLOW_TRACKING_URI"] = sqlite_store.address(database)
    try:
        yield registry_client()
    except TilepipeError as error:
        from tilepipe.pipelines.cli.compilation import user_terms

        raise type(error)(user_terms.in_folder(str(error), folder)) from error


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
