"""Models and data sets of MLflow runs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tilepipe.components.shared.runtime import tracking


def find_model(run_id: str, name: str) -> str:
    """Return the id of the newest model of this name that a run logged and finished; empty if there is none."""
    if run_id == tracking.UNTRACKED:
        return ""
    from mlflow.entities import LoggedModelStatus

    with tracking.reported("find the model of a run"):
        mlflow = tracking.client()
        outputs = mlflow.get_run(run_id).outputs
        ids = {output.model_id for output in (outputs.model_outputs if outputs else ())}
        models = [mlflow.get_logged_model(model_id) for model_id in ids]
    named = [model for model in models if model.name == name and model.status == LoggedModelStatus.READY]
    newest = max(named, key=lambda model: (model.creation_timestamp, model.model_id), default=None)
    return str(newest.model_id) if newest else ""


def log_model_files(model_id: str, folder: Path, target: str) -> None:
    """Log the files of a folder as artifacts of a model, under `target`."""
    with tracking.reported("log files of the model"):
        tracking.client().log_model_artifacts(model_id, str(folder), target)


def log_dataset(
    run_id: str,
    *,
    name: str,
    digest: str,
    source: str,
    schema: Mapping[str, Any],
    profile: Mapping[str, Any],
    context: str,
) -> None:
    """Log the data set of a run, so that runs can be found and compared by it.

    Args:
        run_id: the run.
        name: name of the data set.
        digest: digest of its content; MLflow keeps 36 characters.
        source: address of its source.
        schema: description of a tile, as JSON.
        profile: number of tiles, as JSON.
        context: its use, such as `training`.
    """
    if run_id == tracking.UNTRACKED:
        return
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(
        name=name[:500],
        digest=digest[:36],
        source_type="uri",
        source=json.dumps({"uri": source}),
        schema=json.dumps(schema),
        profile=json.dumps(profile),
    )
    with tracking.reported("log the data set"):
        tags = [InputTag("mlflow.data.context", context)]
        tracking.client().log_inputs(run_id, datasets=[DatasetInput(dataset, tags)])
