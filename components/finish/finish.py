"""Set the status of the MLflow run to that of the pipeline run, and log the parameters of all steps."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten
from typing import Any

from tilepipe.components.finish.config import FinishConfig
from tilepipe.components.finish.outcome import Outcome, from_cluster, from_note
from tilepipe.components.shared.runtime import cluster
from tilepipe.components.shared.runtime.run_settings import run_settings, settings_in
from tilepipe.components.shared.tracking import tracking

logger = logging.getLogger("tilepipe.finish")

_STATUS: dict[str, tracking.RunStatus] = {"succeeded": "FINISHED", "failed": "FAILED", "terminated": "KILLED"}

_LONGEST_REASON = 100
"""Length of a reason in the name of a run, in characters."""


def finish(config: FinishConfig, kfp_state: str) -> Outcome:
    """Determine how the run ended, log it, and close its MLflow run, which gets the parameters of all steps.

    Args:
        config: MLflow experiment for a failure before training opened a run.
        kfp_state: `PipelineTaskFinalStatus.state`; only used without a cluster.

    Raises:
        TrackingError: the tracking server cannot be reached.
    """
    workflow = cluster.read_workflow() if cluster.workflow_name() else {}
    outcome = _outcome(kfp_state, workflow)
    if outcome.state == "failed":
        logger.error("%s failed: %s", outcome.failed_task or "a step", outcome.reason)
    else:
        logger.info("the run %s", outcome.state)
    if tracking.is_configured():
        _close(config, outcome, settings_in(workflow) if workflow else run_settings())
    return outcome


def _outcome(kfp_state: str, workflow: dict[str, Any]) -> Outcome:
    if workflow:
        return from_cluster(workflow, cluster.list_pods(), cluster.end_of_log)
    note = Path(os.environ.get("TILEPIPE_TERMINATION_LOG", os.devnull))
    return from_note(kfp_state, note.read_text(encoding="utf-8") if note.is_file() else "")


def _close(config: FinishConfig, outcome: Outcome, settings: Mapping[str, str]) -> None:
    with tracking.reported("find the run"):
        mlflow = tracking.client()
        run_id = tracking.native_run_id() or tracking.find_run(mlflow, tracking.kfp_run_id())
    if not run_id and outcome.state == "succeeded":
        logger.info("training came from the cache: its MLflow run stays as it is")
        return
    if not run_id:  # it failed before training, which MLflow should show too
        run_id = tracking.open_run(config.experiment, _name_of_failure(outcome), {})
    tracking.close_run(run_id, _STATUS[outcome.state], failed_step=outcome.failed_task, reason=outcome.reason)
    tracking.log_params(run_id, settings)
    with tracking.reported("read the run"):
        info = mlflow.get_run(run_id).info
    # Without the type, MLflow may show the page for GenAI.
    page = f"#/experiments/{info.experiment_id}/runs/{info.run_id}?workflowType=machine_learning"
    logger.info("MLflow run %s is %s: %s", run_id, _STATUS[outcome.state], page)


def _name_of_failure(outcome: Outcome) -> str:
    """Return the name of a run that failed before its training: the step, and the start of the reason."""
    what = f"{outcome.failed_task or 'a step'} {outcome.state}"
    reason = shorten(outcome.reason, _LONGEST_REASON, placeholder="...")
    return f"{what}: {reason}" if reason else what
