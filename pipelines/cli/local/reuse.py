"""Reuse of results in local runs: `kfp.local`'s cache, with keys that also identify data, code and environment.

The cache of `kfp.local` identifies a source by its address and an artifact by its path. Here, a key also contains the
state of each file that a step reads (name, size, modification time), of the code and of the environment, so that a
changed input is never mistaken for the earlier one. Where the state cannot be determined, as for tiles on a web server
without checksums, the step runs again.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kfp import dsl
from kfp.local import cache as kfp_cache

from tilepipe import components
from tilepipe.components.shared.errors import ArtifactError, TrackingError
from tilepipe.components.shared.storage.atomic import write_whole
from tilepipe.components.shared.tracking import earlier_runs
from tilepipe.components.shared.version import VERSION
from tilepipe.pipelines.cli.compilation.compiled_pipeline import step_name
from tilepipe.pipelines.cli.local import input_state, step_output

REUSED_STEPS = frozenset({"ingest", "pack", "merge", "prepare", "train", "evaluate", "export"})
"""Steps whose results depend only on their inputs; the others also read or change a registry or a store."""

_PACKAGES = ("duckdb", "keras", "numpy", "pillow", "pyarrow", "rasterio", "scipy", "tensorflow", "tifffile")
"""Packages whose version may change a result."""
_VARIABLES = ("AWS_ENDPOINT", "CUDA_", "KERAS_", "TF_", "XLA_")
"""Prefixes of the environment variables that may change a result."""
_STORES = frozenset({"checkpoint_uri"})
"""Parameters with an address to which a step writes; they do not change its result."""
_UNUSABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, ArtifactError)
"""Errors of reading an entry that is damaged, or that refers to damaged files."""


class ReuseCache(kfp_cache.LocalCache):  # type: ignore[misc] # kfp has no types
    """Results of finished steps, each a small JSON file that refers to the artifacts of the run that created them.

    Args:
        cache_root: Folder of the JSON files; created if missing.
    """

    def __init__(self, cache_root: str) -> None:
        super().__init__(cache_root)
        self._code = _code_digest()
        self._tasks: dict[str, _Task] = {}  # by key

    def compute_key(
        self,
        component_name: str,
        image: str,
        full_command: list[str],
        arguments: dict[str, Any],
        env_vars: dict[str, str] | None = None,
        custom_cache_key: str | None = None,
    ) -> str:
        """Compute the key of a task; empty if its result must not be reused."""
        step = step_name("", full_command)
        if step not in REUSED_STEPS or arguments.get("bundle_uri"):  # each export adds a copy there
            return ""
        try:
            data = input_state.of_data(step, arguments)
        except _UNUSABLE:  # of an input that is no artifact of ours: the step itself reports it
            return ""
        if data is None:
            return ""
        facts = {
            "code": self._code,
            "image": [image, custom_cache_key],
            "command": full_command,
            "arguments": {
                name: input_state.of_value(step, name, value)
                for name, value in arguments.items()
                if name not in _STORES
            },
            "variables": {**_variables(step), **(env_vars or {})},
            "data": data,
        }
        key = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
        self._tasks[key] = _Task(component_name.removeprefix("comp-"), step, arguments)
        return key

    def get(self, key: str) -> dict[str, Any] | None:
        """Return the outputs of an earlier run; None if there are none, or if a file was changed or removed."""
        path = Path(self._entry_path(key))
        if not key or not path.is_file():
            return None
        try:
            entry = json.loads(path.read_text(encoding="utf-8"))
            outputs: dict[str, Any] = self._deserialize_outputs(entry["outputs"])
            state = _state(self._tasks[key], outputs)
        except (*_UNUSABLE, kfp_cache._MissingArtifactError):
            return None
        if state != entry["state"] or not _has_its_record(self._tasks[key], outputs):
            return None
        step_output.print_reused(self._tasks[key].name, entry["folder"], entry["lines"])
        return outputs

    def put(self, key: str, outputs: dict[str, Any]) -> None:
        """Keep the outputs of a task that has succeeded."""
        task = self._tasks.get(key)
        state = _state(task, outputs) if task else None
        if state is None:
            return
        entry = {
            "outputs": self._serialize_outputs(outputs),
            "state": state,
            "folder": str(Path(_artifacts(outputs)[0].path).parent),
            "lines": step_output.last_lines(),
        }
        write_whole(Path(self._entry_path(key)), json.dumps(entry))


@dataclass(frozen=True)
class _Task:
    name: str
    step: str
    arguments: Mapping[str, Any]


def _state(task: _Task, outputs: Mapping[str, Any]) -> list[str] | None:
    """Return the state of the artifacts of a task and of the tiles that they list; None if it cannot be determined."""
    states = [input_state.of_path(Path(artifact.path)) for artifact in _artifacts(outputs)]
    if task.step != "ingest":
        return states
    tiles = input_state.of_tiles(Path(outputs["tiles"].path))
    return [*states, tiles] if tiles and input_state.is_self_contained(task.arguments) else None


def _artifacts(outputs: Mapping[str, Any]) -> list[dsl.Artifact]:
    return [output for _, output in sorted(outputs.items()) if isinstance(output, dsl.Artifact)]


def _has_its_record(task: _Task, outputs: Mapping[str, Any]) -> bool:
    """Return whether MLflow still has the run of a tracked training; for `evaluate`, whether the run is `FINISHED`.

    After a failure of a later step it is not; `evaluate` then runs again and closes it.
    """
    run_id = str(outputs.get("mlflow_run_id") or task.arguments.get("mlflow_run_id") or "")
    if not run_id:
        return True
    try:
        status = earlier_runs.status_of(run_id)
    except TrackingError:
        return False
    return status == "FINISHED" if task.step == "evaluate" else bool(status)


def _variables(step: str) -> dict[str, str]:
    names = [name for name in os.environ if name.startswith(_VARIABLES)]
    if step in {"train", "evaluate"}:
        names.append("MLFLOW_TRACKING_URI")
    return {name: os.environ.get(name, "") for name in names}


def _code_digest() -> str:
    """Return a digest of the version and the sources of the steps, and of the packages that they compute with."""
    digest = hashlib.sha256(f"{VERSION} {sys.version}".encode())
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            digest.update(f"{name}=={importlib.metadata.version(name)}".encode())
    folder = Path(components.__file__).parent
    for path in sorted(folder.rglob("*.py")):
        digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return digest.hexdigest()
