"""MLflow runs of trainings that an earlier pipeline run made, and whose results this one takes over."""

import functools
from collections.abc import Iterable

from tilepipe.components.shared.tracking import nested_runs, tracking

_INTERRUPTED = frozenset({"KILLED", "FAILED"})


def status_of(run_id: str) -> str:
    """Return the status of a run, such as `FINISHED`; empty if it was deleted.

    Raises:
        TrackingError: the tracking server cannot be reached.
    """
    with tracking.reported("find a run"):
        mlflow = tracking.client()
        return str(mlflow.get_run(run_id).info.status) if tracking.exists(mlflow, run_id) else ""


def continue_run(run_id: str) -> None:
    """Use the run of a training as the run of this process; one of an earlier pipeline run becomes that of this one.

    If the training came from a cache, its run may have ended, even with a failure of a later step.

    Args:
        run_id: the run that the training opened, or `tracking.UNTRACKED`.

    Raises:
        TrackingError: the server cannot be reached, or no longer has the run.
    """
    tracking.adopt_run(run_id)
    if run_id == tracking.UNTRACKED or tracking.native_run_id():
        return
    own = tracking.kfp_run_id()
    with tracking.reported("continue a run"):
        known = tracking.client().get_run(run_id).data.tags
    if known.get(tracking.KFP_RUN_TAG, "") != own or tracking.FAILED_STEP_TAG in known:
        tracking.reopen_run(run_id, {tracking.KFP_RUN_TAG: own} if own else {})


def nest_interrupted(parent: str, run_ids: Iterable[str]) -> None:
    """Nest the runs of a sweep that was killed, or failed, below the run of the sweep that continues it.

    Those of a sweep that has finished, or still runs, stay where they are, and so do those of another server.

    Args:
        parent: MLflow run of the sweep that continues; nothing is done for one that is not tracked.
        run_ids: MLflow runs of its candidates.

    Raises:
        TrackingError: the tracking server cannot be reached.
    """
    if parent == tracking.UNTRACKED:
        return
    with tracking.reported("nest the runs of an earlier sweep"):
        mlflow, status = tracking.client(), functools.cache(status_of)  # the candidates have one parent, or two
        for run_id in run_ids:
            if not tracking.exists(mlflow, run_id):
                continue
            earlier = mlflow.get_run(run_id).data.tags.get(nested_runs.PARENT_TAG, "")
            if earlier != parent and status(earlier) in _INTERRUPTED:
                mlflow.set_tag(run_id, nested_runs.PARENT_TAG, parent)
