"""MLflow runs below that of a pipeline run, such as those of the candidates of a sweep."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

CANDIDATE_TAG = "tilepipe.candidate"
"""Tag with the name of a nested run, such as `candidate-003`, by which a retried step finds it."""
PARENT_TAG = "mlflow.parentRunId"
"""MLflow's tag of a nested run."""

_name = ""
_parameters: dict[str, Any] = {}


@contextlib.contextmanager
def nested(run_name: str, parameters: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Let `tracking.open_run` open a nested run within the context.

    Args:
        run_name: name of the nested run, unique within the pipeline run.
        parameters: parameters of this run, which may differ from those of the pipeline run. Defaults to none.
    """
    global _name  # noqa: PLW0603 - a process writes to one run at a time
    _name = run_name
    add_parameters(parameters or {})
    try:
        yield
    finally:
        _name = ""
        _parameters.clear()


def add_parameters(parameters: Mapping[str, Any]) -> None:
    """Add parameters of the nested run of this process, once they are known."""
    _parameters.update(parameters)


def parameters() -> dict[str, Any]:
    """Return the parameters of the nested run of this process; options are named after a dot."""
    return dict(_parameters)


def name() -> str:
    """Return the name of the nested run of this process; empty if its run is that of the pipeline run."""
    return _name


def find(mlflow: "MlflowClient", parent: str, tags: dict[str, str]) -> str:
    """Return the id of the nested run if an earlier attempt has opened it, else empty.

    Args:
        mlflow: the tracking client.
        parent: id of the run of the pipeline run; empty if it has none.
        tags: tags of the nested run, to which those of its name and its parent are added.
    """
    tags[CANDIDATE_TAG] = _name
    if not parent:
        return ""
    tags[PARENT_TAG] = parent
    experiment = mlflow.get_run(parent).info.experiment_id
    condition = f"tags.`{PARENT_TAG}` = '{parent}' and tags.`{CANDIDATE_TAG}` = '{_name}'"
    runs = mlflow.search_runs([experiment], condition, max_results=1)
    return str(runs[0].info.run_id) if runs else ""
