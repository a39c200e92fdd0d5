"""Track steps in MLflow: select the run that a step writes to and record failures.

Only the tracking client is used, so that steps without TensorFlow need only `mlflow-skinny`. Without
`MLFLOW_TRACKING_URI` a step logs one warning and runs untracked: a first run on a plain Kubeflow needs no MLflow.
"""

import contextlib
import json
import logging
import os
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from tilepipe.components.shared.errors import TrackingError
from tilepipe.components.shared.logs.log_format import escape_controls
from tilepipe.components.shared.logs.redaction import redacted
from tilepipe.components.shared.tracking import nested_runs, sqlite_store
from tilepipe.components.shared.version import VERSION

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger("tilepipe.tracking")

UNTRACKED = ""
"""Run id of an untracked run."""

KFP_RUN_TAG = "kfp.run_id"
FAILED_STEP_TAG = "tilepipe.failed_step"
FAILURE_TAG = "tilepipe.failure"
CONTINUES_TAG = "tilepipe.continues"
"""Tag with the id of the deleted run in which a resumed training started."""

_MOST_METRICS = 1000  # limit of MLflow per request

TRACKING_ADDRESS = ("MLFLOW_TRACKING_URI", "MLFLOW_WORKSPACE")
"""MLflow's environment variables for its address and, on a server with workspaces, the workspace."""

TRACKING_CREDENTIALS = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
"""MLflow's environment variables for a user and password, or a token."""

PREFIX = "TILEPIPE_"
"""Prefix of these variables where a pod gets them from a ConfigMap or Secret of tilepipe."""

RunStatus = Literal["FINISHED", "FAILED", "KILLED"]

_OPENING_ATTEMPTS = 5
"""SQLite waits up to 5 seconds per attempt for another process."""

_open_run_id = UNTRACKED  # the run this process writes to, for `record_failure`


def take_settings() -> None:
    """Apply tilepipe's MLflow settings where neither KFP nor the user has set them."""
    for name in (*TRACKING_ADDRESS, *TRACKING_CREDENTIALS):
        if PREFIX + name in os.environ:
            os.environ.setdefault(name, os.environ[PREFIX + name])


def is_configured() -> bool:
    """Return whether the environment names a tracking server or store."""
    return bool(os.environ.get("MLFLOW_TRACKING_URI"))


def in_mlflow() -> str:
    """Return `in MLflow at http://mlflow:5000`, with `, workspace 'team-a'` where one is set, for messages."""
    workspace = os.environ.get("MLFLOW_WORKSPACE", "").strip()
    address = _without_password(os.environ.get("MLFLOW_TRACKING_URI", ""))
    return f"in MLflow at {address}" + (f", workspace {workspace!r}" if workspace else "")


def kfp_run_id() -> str:
    """Return the id of the Kubeflow or local run of this process; empty outside of a run."""
    return os.environ.get("KFP_RUN_ID", "")


def short_kfp_run_id() -> str:
    """Return the first eight characters of that id, as in the names of MLflow's runs."""
    return kfp_run_id()[:8]


def client() -> "MlflowClient":
    """Return a tracking client for `MLFLOW_TRACKING_URI`.

    Raises:
        TrackingError: the database stays locked by another process.
    """
    # An unreachable server must not block a step for MLflow's default of seven times two minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "4")
    # Artifacts come through the server. MLflow 3.17 prefers the bucket itself: from there a .tar.gz arrives unpacked,
    # since the server stores it with `Content-Encoding: gzip`, and nothing arrives where only the server is reachable.
    os.environ.setdefault("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "false")
    # MLflow prints the address of a run that ends, with the user and password in it.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    # MLflow logs every table and file it touches, regardless of the log settings of this process.
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    from mlflow import MlflowClient

    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    for _ in range(_OPENING_ATTEMPTS):
        try:
            with sqlite_store.one_at_a_time(uri):
                return MlflowClient(tracking_uri=uri or None)
        except Exception as error:  # of SQLAlchemy, which comes with MLflow only where there are local databases
            if "database is locked" not in str(error):
                raise
            time.sleep(random.uniform(0.5, 1.5))  # noqa: S311 - jitter
    raise TrackingError(
        "MLflow's database must be free to be opened. Received: "
        f"{_without_password(uri)}, which another process has locked for {_OPENING_ATTEMPTS} attempts. Wait "
        "until that process has ended, or use an MLflow server for several runs at once."
    )


def open_run(experiment: str, name: str, tags: Mapping[str, str], *, resumed_run_id: str = UNTRACKED) -> str:
    """Open the MLflow run of a pipeline run, reusing an existing one where possible.

    In order of preference: the run of the resumed training, if it still exists; the run that KFP opened (native MLflow
    support); a run tagged with the id of this Kubeflow run (for retried steps); else a new run. In a process that
    entered `nested_runs.nested`, the run is nested below that of the pipeline run, or is that of an earlier attempt.

    Args:
        experiment: name of the experiment; created if missing.
        name: name of a new run.
        tags: set on the run, in addition to the Kubeflow run id and tilepipe's version.
        resumed_run_id: the run that the training was in before it was killed.

    Returns:
        The MLflow run id, or `UNTRACKED`.

    Raises:
        TrackingError: the server cannot be reached or denies access. Not raised for a resumed training, whose run
            continues once the server is reachable again.
    """
    global _open_run_id  # noqa: PLW0603 - a process is one step, and writes to one run
    if not is_configured():
        logger.warning("MLFLOW_TRACKING_URI is not set: this run is not tracked.")
        return UNTRACKED
    all_tags = {**tags, "tilepipe.version": VERSION}
    try:
        with reported("open a run"):
            mlflow = client()
            existing = native_run_id() or find_run(mlflow, kfp_run_id())
            if nested_runs.name():
                name, existing = nested_runs.name(), nested_runs.find(mlflow, existing, all_tags)
            else:
                all_tags[KFP_RUN_TAG] = kfp_run_id()
            resumed = resumed_run_id if exists(mlflow, resumed_run_id) else UNTRACKED
            if resumed_run_id and not resumed:
                logger.warning("MLflow no longer has run %s: the training continues in another run.", resumed_run_id)
                all_tags[CONTINUES_TAG] = resumed_run_id
            run_id = resumed or existing
            if run_id:
                reopen_run(run_id, all_tags)
            else:
                experiment_id = _experiment_id(mlflow, experiment)
                run_id = mlflow.create_run(experiment_id, run_name=name, tags=all_tags).info.run_id
    except TrackingError as error:
        if not resumed_run_id:
            raise
        logger.warning("The training continues; its metrics are sent later: %s", error)
        run_id = resumed_run_id
    _open_run_id = run_id
    return run_id


def reopen_run(run_id: str, tags: Mapping[str, str]) -> None:
    """Set a run to running again and remove its earlier failure."""
    with reported("continue a run"):
        mlflow = client()
        known = mlflow.get_run(run_id).data.tags
        for tag in {FAILED_STEP_TAG, FAILURE_TAG} & known.keys():
            mlflow.delete_tag(run_id, tag)
        for key, value in tags.items():
            mlflow.set_tag(run_id, key, value)
        mlflow.update_run(run_id, status="RUNNING")


def exists(mlflow: "MlflowClient", run_id: str) -> bool:
    """Return whether a run exists and is not deleted."""
    from mlflow.exceptions import MlflowException

    try:
        return bool(run_id and mlflow.get_run(run_id).info.lifecycle_stage == "active")
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise


def open_run_id() -> str:
    """Return the id of the run that this process has opened or adopted, or `UNTRACKED`."""
    return _open_run_id


def adopt_run(run_id: str) -> None:
    """Use a run that an earlier step opened as the run of this process."""
    global _open_run_id  # noqa: PLW0603
    _open_run_id = run_id


def native_run_id() -> str:
    """Return the id of the MLflow run that KFP opened for the pipeline run, or empty."""
    with contextlib.suppress(ValueError, AttributeError):
        parent = json.loads(os.environ.get("KFP_MLFLOW_CONFIG") or "{}").get("parentRunId")
        if parent:
            return str(parent)
    return os.environ.get("MLFLOW_RUN_ID", "")


def find_run(mlflow: "MlflowClient", kfp_run: str) -> str:
    """Return the id of the newest MLflow run of a Kubeflow run, or empty."""
    if not kfp_run:
        return UNTRACKED
    experiments = [experiment.experiment_id for experiment in mlflow.search_experiments()]
    quoted = kfp_run.replace("'", "")
    runs = mlflow.search_runs(experiments, f"tags.`{KFP_RUN_TAG}` = '{quoted}'", max_results=1)
    return str(runs[0].info.run_id) if runs else UNTRACKED


def log_params(run_id: str, params: Mapping[str, Any]) -> None:
    """Log parameters, without credentials; existing ones keep their first value, as MLflow requires.

    Values other than text are logged as JSON, as they are given to a pipeline.
    """
    if run_id == UNTRACKED:
        return
    from mlflow.entities import Param

    with reported("log parameters"):
        mlflow = client()
        known = mlflow.get_run(run_id).data.params
        texts = {
            key: value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
            for key, value in params.items()
            if key not in known
        }
        mlflow.log_batch(run_id, params=[Param(key, redacted(text)[:6000]) for key, text in texts.items()])


def log_metrics(run_id: str, metrics: Mapping[str, float], *, model_id: str = "") -> None:
    """Log metrics of a run at step 0; if `model_id` is given, also of that logged model."""
    now = int(time.time() * 1000)
    log_points(run_id, [(key, value, now, 0) for key, value in metrics.items()], model_id=model_id)


def log_points(run_id: str, points: Sequence[tuple[str, float, int, int]], *, model_id: str = "") -> None:
    """Log metrics at arbitrary times and steps, in as few requests as possible.

    Args:
        run_id: the run.
        points: name, value, time in milliseconds since 1970, and step of each. MLflow removes duplicates.
        model_id: logged model that the metrics are about. Defaults to none.
    """
    if run_id == UNTRACKED:
        return
    from mlflow.entities import Metric

    metrics = [Metric(key, float(value), at, step, model_id=model_id or None) for key, value, at, step in points]
    with reported("log metrics"):
        mlflow = client()
        for start in range(0, len(metrics), _MOST_METRICS):
            mlflow.log_batch(run_id, metrics=metrics[start : start + _MOST_METRICS])


def log_file(run_id: str, path: Path, folder: str | None = None, *, name: str = "") -> None:
    """Log one file as an artifact, under `folder`, and by another name than its own if one is given."""
    if run_id == UNTRACKED:
        return
    with TemporaryDirectory() as links, reported(f"log {name or path.name}"):
        if name:  # MLflow names an artifact after its file
            link = Path(links) / name
            link.symlink_to(path.resolve())
            path = link
        client().log_artifact(run_id, str(path), folder)


def set_tags(run_id: str, tags: Mapping[str, str]) -> None:
    """Set tags, replacing existing values."""
    if run_id == UNTRACKED:
        return
    with reported("set tags"):
        mlflow = client()
        for key, value in tags.items():
            mlflow.set_tag(run_id, key, value)


def close_run(run_id: str, status: RunStatus, *, failed_step: str = "", reason: str = "") -> None:
    """Set the final status of a run and, after a failure, the step and the reason."""
    if run_id == UNTRACKED:
        return
    with reported("close the run"):
        mlflow = client()
        if failed_step:
            mlflow.set_tag(run_id, FAILED_STEP_TAG, failed_step)
        if reason:
            mlflow.set_tag(run_id, FAILURE_TAG, reason[:4000])
        mlflow.set_terminated(run_id, status)


def record_failure(step: str, reason: str) -> None:
    """Record the reason of a failure so that it outlives the process; never raises.

    The reason is written to the Kubernetes termination message, which `kubectl describe pod` shows and the exit handler
    reads, and to the MLflow run of this process.
    """
    reason = escape_controls(redacted(reason))
    note = Path(os.environ.get("TILEPIPE_TERMINATION_LOG", "/dev/termination-log"))
    with contextlib.suppress(OSError):
        # Kubernetes keeps 4,096 bytes. The file is never created: it exists only in a pod.
        if note.exists():
            note.write_bytes(f"{step}: {reason}".encode()[:4096])
    if _open_run_id == UNTRACKED:
        return
    try:
        close_run(_open_run_id, "FAILED", failed_step=step, reason=reason)
    except TrackingError as error:
        logger.warning("The reason of this failure could not be recorded: %s", error)


def _experiment_id(mlflow: "MlflowClient", name: str) -> str:
    from mlflow.exceptions import MlflowException

    experiment = mlflow.get_experiment_by_name(name)
    if experiment is not None:
        return str(experiment.experiment_id)
    try:
        return str(mlflow.create_experiment(name, artifact_location=_artifact_location()))
    except MlflowException:  # another step created it in the meantime
        experiment = mlflow.get_experiment_by_name(name)
        if experiment is None:
            raise
        return str(experiment.experiment_id)


def _artifact_location() -> str | None:
    """Return a folder next to a SQLite store, not in the working directory; None leaves the choice to the server."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri.startswith(sqlite_store.SCHEME):
        return None
    return (sqlite_store.path_of(uri).resolve().parent / "mlflow-artifacts").as_uri()


@contextlib.contextmanager
def reported(what: str) -> Iterator[None]:
    """Translate errors of MLflow into a `TrackingError`.

    Args:
        what: the current operation, as in "MLflow must be reachable to ...".

    Raises:
        TrackingError: MLflow failed or could not be reached.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        uri = os.environ.get("MLFLOW_TRACKING_URI", "")
        raise TrackingError(
            f"MLflow must be reachable at MLFLOW_TRACKING_URI to {what}. Received: {_without_password(uri)}, which "
            f"answers: {redacted(str(error))[:500]}. Check that the server runs and that its allowed hosts include "
            "this address."
        ) from error


def _without_password(uri: str) -> str:
    scheme, separator, rest = uri.partition("://")
    return f"{scheme}{separator}{rest.rsplit('@', 1)[-1]}"
