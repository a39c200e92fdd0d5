"""A small version of KFP's launcher, which runs the compiled commands of a pipeline's tasks as the real one does.

Each task gets an `ExecutorInput` with `s3://` addresses under a pipeline root. Its input artifacts are fetched to
`/s3/...`, and its outputs are stored from there. Its command is that of the compiled YAML, in an environment with only
the packages of the task's image. (KFP 2.17: backend/src/v2/component/launcher_v2.go.)
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tilepipe.pipelines.cli.compilation.compiled_pipeline import CompiledPipeline

MOUNT = Path("/s3")


@dataclass
class TaskResult:
    """Result of a task that ran."""

    exit_code: int
    log: str
    parameters: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass
class Launcher:
    """Runs tasks one by one.

    Args:
        pipeline: the compiled pipeline.
        bucket: a boto3 Bucket for the artifacts.
        environments: image name (`data`, `train`) -> folder of the virtual environment that replaces it.
        environment: environment variables of the pods, in addition to those of the image.
        scratch: a folder for homes and output files.
    """

    pipeline: CompiledPipeline
    bucket: Any
    environments: Mapping[str, Path]
    environment: Mapping[str, str]
    scratch: Path
    root: str = "v2/artifacts"
    results: dict[str, TaskResult] = field(default_factory=dict)
    """Result of the last run of each task; for a task in a loop, the first failure."""
    values: dict[str, Any] = field(default_factory=dict)
    """Arguments of the last run, with the defaults of the others."""
    iterations: dict[str, list[TaskResult]] = field(default_factory=dict)
    """Results of each task in a loop, one per iteration."""

    def run(self, arguments: Mapping[str, Any], *, final_state: str | None = None) -> TaskResult | None:
        """Run all tasks in their order, then the exit task; returns the first that failed."""
        defaults = {p.name: p.default for p in self.pipeline.parameters.values()}
        values = self.values = {**defaults, **arguments}
        waiting = {task.name: task for task in self.pipeline.tasks}
        finish = waiting.pop("finish-run")
        failed = None
        while waiting and failed is None:
            ready = next(t for t in waiting.values() if all(n in self.results for n in t.needs))
            del waiting[ready.name]
            if not self._is_wanted(ready.name, values):
                continue
            result = self.run_loop(ready.name, values) if self._loop(ready.name) else self.run_task(ready.name, values)
            failed = result if result.exit_code else None
        state = final_state or ("FAILED" if failed else "SUCCEEDED")
        self.run_task(finish.name, values, status={"state": state, "error": {}})
        return failed

    def run_loop(self, name: str, values: Mapping[str, Any]) -> TaskResult:
        """Run a task once for each item of its loop, even if one of them fails."""
        iterator = self._loop(name)["parameterIterator"]
        producer = self._loop(name)["inputs"]["parameters"][iterator["items"]["inputParameter"]]["taskOutputParameter"]
        items = self.results[producer["producerTask"]].parameters[producer["outputParameterKey"]]
        item_input = iterator["itemInput"].removeprefix("pipelinechannel--")
        kind = self._loop_component(name)["inputDefinitions"]["parameters"][iterator["itemInput"]]["parameterType"]
        self.iterations[name] = []
        for item in items:
            typed = json.dumps(item) if kind == "STRING" and not isinstance(item, str) else item  # as KFP's driver
            self.iterations[name].append(self.run_task(name, {**values, item_input: typed}))
        failed = [result for result in self.iterations[name] if result.exit_code]
        self.results[name] = (failed or self.iterations[name])[0]
        return self.results[name]

    def run_task(self, name: str, values: Mapping[str, Any], status: Mapping[str, Any] | None = None) -> TaskResult:
        """Run one task as its pod would."""
        iteration = f"{name}-{len(self.iterations[name])}" if name in self.iterations else name
        spec = self._task_spec(name)
        component = self.pipeline.spec["components"][spec["componentRef"]["name"]]
        container = self.pipeline.spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
        scratch = self.scratch / iteration
        shutil.rmtree(scratch, ignore_errors=True)
        (scratch / "home").mkdir(parents=True)
        outputs = component.get("outputDefinitions", {})
        executor_input = {
            "inputs": {
                "parameterValues": self._parameters(name, spec, component, values, status),
                "artifacts": {
                    key: {"artifacts": [self._fetch(artifact) for artifact in self._inputs(name, source)]}
                    for key, source in spec.get("inputs", {}).get("artifacts", {}).items()
                },
            },
            "outputs": {
                "parameters": {
                    key: {"outputFile": str(scratch / "outputs" / key)} for key in outputs.get("parameters", {})
                },
                "artifacts": {
                    key: {"artifacts": [{"name": key, "type": what["artifactType"], "metadata": {},
                                         "uri": f"s3://{self.bucket.name}/{self.root}/run/{iteration}/{key}"}]}
                    for key, what in outputs.get("artifacts", {}).items()
                },
                "outputFile": str(scratch / "output_metadata.json"),
            },
        }  # fmt: skip
        for artifacts in executor_input["outputs"]["artifacts"].values():
            _local(artifacts["artifacts"][0]["uri"]).parent.mkdir(parents=True, exist_ok=True)
        result = self._execute(container, executor_input, scratch)
        self.results[name] = result
        return result

    def _execute(self, container: Mapping[str, Any], executor_input: dict[str, Any], scratch: Path) -> TaskResult:
        words = [*container["command"], *container["args"]]
        words = [json.dumps(executor_input) if word == "{{$}}" else word for word in words]
        image = container["image"]
        if image.startswith("{{"):  # a run parameter: the training image
            image = "train:"
        home = self.environments[image.rsplit("/", 1)[-1].split(":")[0]]
        # One note for all tasks: outside of Kubernetes the exit handler reads the reason from it.
        note = self.scratch / "termination-log"
        note.touch()
        environment = {
            "PATH": f"{home / 'bin'}:/usr/bin:/bin",
            "HOME": str(scratch / "home"),
            "TILEPIPE_TERMINATION_LOG": str(note),
            **self.environment,
        }
        done = subprocess.run(
            words, env=environment, cwd=scratch / "home", capture_output=True, text=True, timeout=600, check=False
        )
        result = TaskResult(done.returncode, done.stdout + done.stderr)
        if done.returncode:
            return result
        written = json.loads(Path(executor_input["outputs"]["outputFile"]).read_text())
        result.parameters = written.get("parameterValues", {})
        for key, declared in executor_input["outputs"]["artifacts"].items():
            found = written.get("artifacts", {}).get(key, declared)["artifacts"][0]
            root = f"s3://{self.bucket.name}/{self.root}/"
            assert found["uri"].startswith(root), f"{key} left the pipeline root: {found['uri']}"
            result.artifacts[key] = {**declared["artifacts"][0], **found}
            self._store(found["uri"])
        return result

    def _is_wanted(self, name: str, values: Mapping[str, Any]) -> bool:
        """Evaluate the conditions around a task."""
        while group := self._group(name):
            name, task = group
            if condition := task.get("triggerPolicy", {}).get("condition"):
                match = re.fullmatch(r"inputs\.parameter_values\['(.+)'\] == true", condition)
                if not self._value(name, task["inputs"]["parameters"][match[1]], values):
                    return False
        return True

    def _value(self, name: str, source: Mapping[str, Any], values: Mapping[str, Any]) -> Any:
        """Return the value that a task takes: a constant, a pipeline parameter, or another task's output."""
        if "runtimeValue" in source:
            return source["runtimeValue"]["constant"]
        if "taskOutputParameter" in source:
            producer = source["taskOutputParameter"]
            return self.results[producer["producerTask"]].parameters[producer["outputParameterKey"]]
        channel = source["componentInputParameter"]
        known = channel.removeprefix("pipelinechannel--")
        if known in values:
            return values[known]
        group, task = self._group(name)
        return self._value(group, task["inputs"]["parameters"][channel], values)

    def _parameters(
        self,
        name: str,
        spec: Mapping[str, Any],
        component: Mapping[str, Any],
        values: Mapping[str, Any],
        status: Mapping[str, Any] | None,
    ) -> dict[str, Any]:
        declared = component.get("inputDefinitions", {}).get("parameters", {})
        found = {key: what["defaultValue"] for key, what in declared.items() if "defaultValue" in what}
        for key, source in spec.get("inputs", {}).get("parameters", {}).items():
            if "taskFinalStatus" in source:
                found[key] = dict(status or {})
                continue
            found[key] = self._value(name, source, values)
            if "componentInputParameter" in source:
                kind = declared.get(key, {}).get("parameterType", "STRING")  # a setting's input is not declared
                if isinstance(found[key], str) and kind != "STRING":
                    raise TypeError(f"{key} is declared a {kind}, and KFP refuses text for it")
        return found

    def _inputs(self, name: str, source: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the artifacts that a task takes: one, or one per iteration of a loop, in the order of the items."""
        while "componentInputArtifact" in source:  # from outside of the loop or condition that the task is in
            name, group = self._group(name)
            source = group["inputs"]["artifacts"][source["componentInputArtifact"]]
        output = source["taskOutputArtifact"]
        dag = next(dag for dag in self._dags() if output["producerTask"] in dag["tasks"])
        task, key = self.pipeline.producer(dag, output["producerTask"], output["outputArtifactKey"])
        made = self.iterations.get(task) or [self.results[task]]
        return [result.artifacts[key] for result in made]

    def _fetch(self, artifact: dict[str, Any]) -> dict[str, Any]:
        key = _key(artifact["uri"])
        path = _local(artifact["uri"])
        shutil.rmtree(path, ignore_errors=True)
        for item in self.bucket.objects.filter(Prefix=key):
            rest = item.key.removeprefix(key)
            if rest and not rest.startswith("/"):
                continue  # another artifact whose name begins the same way
            target = Path(str(path) + rest)
            target.parent.mkdir(parents=True, exist_ok=True)
            self.bucket.download_file(item.key, str(target))
        return artifact

    def _store(self, uri: str) -> None:
        """Upload an artifact of the task and remove it locally, since the next pod has another disk."""
        path, key = _local(uri), _key(uri)
        if path.is_dir():
            for file in sorted(p for p in path.rglob("*") if p.is_file()):
                self.bucket.upload_file(str(file), f"{key}/{file.relative_to(path)}")
            shutil.rmtree(path)
        elif path.is_file():
            self.bucket.upload_file(str(path), key)
            path.unlink()

    def _task_spec(self, name: str) -> dict[str, Any]:
        return next(dag["tasks"][name] for dag in self._dags() if name in dag["tasks"])

    def _dags(self) -> list[dict[str, Any]]:
        dags = [self.pipeline.spec["root"]["dag"]]
        return dags + [c["dag"] for c in self.pipeline.spec["components"].values() if "dag" in c]

    def _group(self, name: str) -> tuple[str, dict[str, Any]] | None:
        """Return name and task of the loop, condition or exit handler that a task is in; None at the root."""
        components = self.pipeline.spec["components"]
        return next(
            (
                (group, task)
                for dag in self._dags()
                for group, task in dag["tasks"].items()
                if name in components[task["componentRef"]["name"]].get("dag", {}).get("tasks", {})
            ),
            None,
        )

    def _loop(self, name: str) -> dict[str, Any]:
        """Return the loop that contains a task; empty if there is none."""
        tasks = [task for dag in self._dags() for task in dag["tasks"].values() if "parameterIterator" in task]
        components = self.pipeline.spec["components"]
        return next((t for t in tasks if name in components[t["componentRef"]["name"]]["dag"]["tasks"]), {})

    def _loop_component(self, name: str) -> dict[str, Any]:
        component: dict[str, Any] = self.pipeline.spec["components"][self._loop(name)["componentRef"]["name"]]
        return component


def _key(uri: str) -> str:
    return uri.removeprefix("s3://").partition("/")[2]


def _local(uri: str) -> Path:
    return MOUNT / uri.removeprefix("s3://")


def can_mount() -> bool:
    """Return whether this process may create `/s3`, where KFP's steps expect their artifacts."""
    return (MOUNT.is_dir() and os.access(MOUNT, os.W_OK)) or os.access("/", os.W_OK)
