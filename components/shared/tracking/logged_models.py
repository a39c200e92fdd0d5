"""Parameters and models that an MLflow run already has."""

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tilepipe.components.shared.tracking import tracking


def read_params(run_id: str) -> dict[str, str]:
    """Return the parameters of a run; none for an untracked one."""
    if run_id == tracking.UNTRACKED:
        return {}
    with tracking.reported("read the parameters of the training"):
        return dict(tracking.client().get_run(run_id).data.params)


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


def conda_environment(packages: Mapping[str, str]) -> dict[str, Any]:
    """Return the environment of a model: this Python, MLflow, NumPy, and the given packages with their versions.

    MLflow would otherwise infer it by running the model in a process.
    """
    import numpy as np
    from mlflow.version import VERSION

    versions = {"mlflow": VERSION, **packages, "numpy": np.__version__}
    return {
        "name": "tilepipe",
        "channels": ["conda-forge"],
        "dependencies": [
            f"python={platform.python_version()}",
            "pip",
            {"pip": [f"{name}=={version}" for name, version in versions.items()]},
        ],
    }
