"""Start-up: size that an image adds to its base, and time from the start of a process to the first line of the step."""

import json
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.support.image_environments import EXTRAS, image_environment, uv
from tests.support.measure import Figure
from tilepipe.pipelines.cli.compilation import compiled_pipeline

_REPEATS = 5
_GOAL_SECONDS = 1.0


def measure(scratch: Path) -> list[Figure]:
    """The compiled command of each step, stopped before its work begins."""
    pipeline = compiled_pipeline.load("train_classifier")
    figures = []
    for task in pipeline.tasks:
        seconds = statistics.median(_seconds(pipeline, task.component, scratch) for _ in range(_REPEATS))
        holds = seconds <= _GOAL_SECONDS
        figures.append(Figure(f"start.{task.step}", seconds, "s", f"<= {_GOAL_SECONDS}", holds))
    return [*_sizes(), *sorted(figures, key=lambda figure: figure.name)]


def _sizes() -> list[Figure]:
    """Measure the unpacked size that each image adds to its Python base image; `train` is the CPU variant."""
    found = uv()
    if found is None:
        return []
    return [
        Figure(f"start.{image}_image", _mebibytes(image_environment(image, found)), "MiB added") for image in EXTRAS
    ]


def _mebibytes(folder: Path) -> float:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_symlink()) / 2**20


def _seconds(pipeline: compiled_pipeline.CompiledPipeline, component: str, scratch: Path) -> float:
    spec = pipeline.spec["components"][component]
    container = pipeline.spec["deploymentSpec"]["executors"][spec["executorLabel"]]["container"]
    words = [*container["command"], *container["args"]]
    # The executor wants every input; the process ends before any is used.
    words = [json.dumps(_inputs(spec, scratch)) if word == "{{$}}" else word for word in words]
    code = next(i for i, word in enumerate(words) if "from kfp.dsl import *" in word)
    # After the imports and the set-up of the step, where its work would begin.
    head, begun, body = re.split(r"(\n    with step\(.*\):\n)", words[code], maxsplit=1)
    mark = '        import os, time; print("FIRST", time.time(), flush=True); os._exit(0)\n'
    words[code] = f"{head}{begun}{mark}{body}"
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    started = time.time()
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    first = next((line for line in done.stdout.splitlines() if line.startswith("FIRST")), None)
    if first is None:
        raise RuntimeError(f"{component} did not start: {done.stdout}{done.stderr}")
    return float(first.split()[1]) - started


def _inputs(spec: dict[str, Any], scratch: Path) -> dict[str, Any]:
    values = {"STRING": "x", "NUMBER_INTEGER": 1, "NUMBER_DOUBLE": 1.0, "LIST": [], "STRUCT": {}, "BOOLEAN": True}

    def artifact(name: str, what: dict[str, Any]) -> dict[str, Any]:
        return {"artifacts": [{"name": name, "type": what["artifactType"], "uri": str(scratch / name)}]}

    declared = spec.get("inputDefinitions", {})
    outputs = spec.get("outputDefinitions", {})
    return {
        "inputs": {
            "parameterValues": {
                name: values.get(what["parameterType"], {"state": "SUCCEEDED", "error": {}})
                for name, what in declared.get("parameters", {}).items()
            },
            "artifacts": {name: artifact(name, what) for name, what in declared.get("artifacts", {}).items()},
        },
        "outputs": {
            "parameters": {name: {"outputFile": str(scratch / f"p-{name}")} for name in outputs.get("parameters", {})},
            "artifacts": {name: artifact(name, what) for name, what in outputs.get("artifacts", {}).items()},
            "outputFile": str(scratch / "executor_output.json"),
        },
    }
