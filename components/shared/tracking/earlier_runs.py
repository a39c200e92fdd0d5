"""MLflow runs of trainings that an earlier pipeline run made, and that a cache gives to this one."""

from tilepipe.components.shared.tracking import tracking


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
