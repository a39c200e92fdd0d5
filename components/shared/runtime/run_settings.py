"""Settings of a whole run for MLflow: `tilepipe run` passes them to the steps; on a cluster the Workflow has them."""

import json
import os
from collections.abc import Mapping
from typing import Any

from tilepipe.components.shared.logs.redaction import redacted

VARIABLE = "TILEPIPE_RUN_SETTINGS"
_OWN = ("train_", "tracking_")
"""Beginnings of the names of parameters that `train` logs itself, by its own names."""


def encode(arguments: Mapping[str, Any], folder: str) -> str:
    """Return the value of the variable, with the pipeline's parameters that differ from their defaults."""
    return json.dumps({"arguments": dict(arguments), "folder": folder})


def run_settings() -> dict[str, str]:
    """Return the parameters of the other steps that differ from their defaults, and the folder of the run.

    Returns:
        Name of the pipeline's parameter, such as `split_by` or `pack_options`, or `run.folder` -> value, structs as
        JSON, without credentials; empty outside of a local run.
    """
    text = os.environ.get(VARIABLE)
    if not text:
        return {}
    found = json.loads(text)
    return {**_shown(found["arguments"]), "run.folder": found["folder"]}


def settings_in(workflow: Mapping[str, Any]) -> dict[str, str]:
    """Return the parameters of the other steps that differ from their defaults, from the Argo Workflow of a run.

    KFP writes the arguments of the run and the root component, with the defaults, into it as JSON:
    https://github.com/kubeflow/pipelines/blob/2.17.0/backend/src/v2/compiler/argocompiler/dag.go

    Returns:
        As `run_settings`, without the folder; empty where KFP writes them in another form.
    """
    spec = workflow.get("spec", {})
    tasks = [task for template in spec.get("templates", ()) for task in template.get("dag", {}).get("tasks", ())]
    stated = [one for part in (spec, *tasks) for one in part.get("arguments", {}).get("parameters", ())]
    texts = {one["name"]: one.get("value") for one in stated}
    given = json.loads(texts.get("runtime-config") or "{}").get("parameterValues", {})
    declared = json.loads(texts.get("components-root") or "{}").get("inputDefinitions", {}).get("parameters", {})
    return _shown({name: one for name, one in given.items() if one != declared.get(name, {}).get("defaultValue")})


def _shown(arguments: Mapping[str, Any]) -> dict[str, str]:
    given = {name: value for name, value in arguments.items() if not name.startswith(_OWN)}
    return {name: redacted(value if isinstance(value, str) else json.dumps(value)) for name, value in given.items()}
