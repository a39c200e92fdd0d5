"""Local runs that were killed or interrupted, whose MLflow runs would otherwise stay in the state RUNNING."""

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from tilepipe.components.shared.errors import TrackingError
from tilepipe.components.shared.tracking import nested_runs, sqlite_store, tracking

logger = logging.getLogger("tilepipe.run")

MARKER = "running"
"""File in the folder of a run that has not ended, locked while its process lives; it holds the run's id."""


@contextlib.contextmanager
def marked(root: Path, run_id: str) -> Iterator[None]:
    """Mark a run as running within a `with` statement; after an exception, such as Ctrl-C, the mark stays."""
    path = root / MARKER
    with path.open("w", encoding="utf-8") as file:
        _lock(file)
        file.write(run_id)
        file.flush()
        yield
        path.unlink()


def close_all(folder: Path, tracking_uri: str) -> None:
    """Close the MLflow runs of runs that are marked as running but have no process; their status becomes KILLED.

    Args:
        folder: Folder of all runs.
        tracking_uri: Address of the tracking server. If it cannot be reached, the marks stay.
    """
    for path in sorted(folder.glob(f"*/{MARKER}")):
        with path.open(encoding="utf-8") as file:
            if not _lock(file):
                continue
            try:
                if not _is_new(tracking_uri):
                    with _tracking_at(tracking_uri):
                        _close(file.read())
            except TrackingError as error:
                logger.warning("the MLflow run of %s could not be closed: %s", path.parent.name, error)
            else:
                path.unlink()


def _is_new(tracking_uri: str) -> bool:
    """Return True for a database that does not exist, as before the first training; MLflow takes seconds to make it."""
    return tracking_uri.startswith(sqlite_store.SCHEME) and not sqlite_store.path_of(tracking_uri).exists()


def _close(run_id: str) -> None:
    with tracking.reported("close an interrupted run"):
        mlflow = tracking.client()
        found = tracking.find_run(mlflow, run_id)
        if not found:
            return
        run = mlflow.get_run(found)
        nested = mlflow.search_runs([run.info.experiment_id], f"tags.`{nested_runs.PARENT_TAG}` = '{found}'")
    for one in (run, *nested):
        if one.info.status == "RUNNING":
            tracking.close_run(one.info.run_id, "KILLED", reason="The run was killed or interrupted.")


def _lock(file: IO[str]) -> bool:
    """Lock a file until it is closed; False if another process has locked it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


@contextlib.contextmanager
def _tracking_at(uri: str) -> Iterator[None]:
    before = os.environ.get("MLFLOW_TRACKING_URI")
    os.environ["MLFLOW_TRACKING_URI"] = uri
    try:
        yield
    finally:
        if before is None:
            del os.environ["MLFLOW_TRACKING_URI"]
        else:
            os.environ["MLFLOW_TRACKING_URI"] = before
