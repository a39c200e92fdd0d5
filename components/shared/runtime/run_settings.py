"""Settings of a whole local run, which `tilepipe run` passes to the steps, so that MLflow shows those of all steps."""

import json
import os
from collections.abc import Mapping
from typing import Any

from tilepipe.components.shared.runtime.redaction import redacted

VARIABLE = "TILEPIPE_RUN_SETTINGS"
_OWN = ("train_", "tracking_")
"""Beginnings of the names of parameters that `train` logs itself, by its own names."""


def encode(arguments: Mapping[str, Any], folder: str) -> str:
    """Return the value of the variable.

    Args:
        arguments: the pipeline's parameters that differ from their defaults.
        folder: folder of the run.
    """
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
    given = {name: value for name, value in found["arguments"].items() if not name.startswith(_OWN)}
    shown = {name: redacted(value if isinstance(value, str) else json.dumps(value)) for name, value in given.items()}
    return {**shown, "run.folder": found["folder"]}
