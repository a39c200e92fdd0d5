"""Requirements of the tasks of a compiled pipeline, for given arguments: hardware, images, Secrets."""

import json
import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any, Literal

from tilepipe.pipelines.cli.compilation.compiled_pipeline import CHANNEL, CompiledPipeline, Task

Kind = Literal["Secret", "ConfigMap"]

_PLACEHOLDER = re.compile(r"\{\{\$\.inputs\.parameters\['([^']+)'\]\}\}")


@dataclass(frozen=True)
class Reference:
    """A Secret or ConfigMap whose keys become environment variables of a task.

    Args:
        kind: Secret or ConfigMap.
        name: its name.
        keys: the keys that are read.
        optional: whether the task starts without it.
        parameter: the pipeline parameter that names it; empty if the name is fixed in the pipeline.
    """

    kind: Kind
    name: str
    keys: tuple[str, ...]
    optional: bool
    parameter: str = ""

    @property
    def plural(self) -> str:
        """Name of the resource in the Kubernetes API."""
        return "secrets" if self.kind == "Secret" else "configmaps"

    def lacking(self, present: AbstractSet[str]) -> list[str]:
        """List the keys that are not among those present; an optional object is complete with any of its keys."""
        missing = set(self.keys) - present
        return [] if self.optional and missing < set(self.keys) else sorted(missing)

    def edit(self, namespace: str) -> str:
        """Return the command that adds keys to it."""
        return f"kubectl edit {self.plural} {self.name} -n {namespace}"

    def creation(self, namespace: str) -> str:
        """Return the command that creates it."""
        kind = "secret generic" if self.kind == "Secret" else "configmap"
        literals = " ".join(f"--from-literal={key}=..." for key in self.keys)
        return f"kubectl create {kind} {self.name} -n {namespace} {literals}"


@dataclass(frozen=True)
class TaskNeeds:
    """Requirements of one task.

    Args:
        task: name of the task.
        step: its step, such as `ingest`.
        image: its container image.
        requests: resource name -> Kubernetes quantity; without a GPU count of 0.
        node_selector: labels that its node must have.
        tolerations: its tolerations, as in Kubernetes.
        references: its Secrets and ConfigMaps.
        pull_secrets: Secrets for the registry of its image.
        run_as_user: numeric user of its pod; None if the cluster assigns one.
        parameters: setting (`image`, `gpu`, `memory`, `cpu`, `node_selector`, `tolerations`) -> the pipeline parameter
            that sets it.
    """

    task: str
    step: str
    image: str
    requests: Mapping[str, str] = field(default_factory=dict)
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: Sequence[Mapping[str, Any]] = ()
    references: Sequence[Reference] = ()
    pull_secrets: Sequence[str] = ()
    run_as_user: int | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)


def of_pipeline(pipeline: CompiledPipeline, arguments: Mapping[str, Any]) -> list[TaskNeeds]:
    """Determine the requirements of the tasks of a run.

    Args:
        pipeline: the compiled pipeline.
        arguments: parameter -> value; defaults may be omitted.

    Returns:
        One entry per task that runs a container, without settings that are only known while the pipeline runs.
    """
    values = {name: parameter.default for name, parameter in pipeline.parameters.items()} | dict(arguments)
    platform = pipeline.documents[1] if len(pipeline.documents) > 1 else {}
    settings = platform.get("platforms", {}).get("kubernetes", {}).get("deploymentSpec", {}).get("executors", {})
    executors = pipeline.spec["deploymentSpec"]["executors"]
    found = []
    for task in pipeline.tasks:
        label = pipeline.spec["components"][task.component]["executorLabel"]
        reader = _Reader(task, values)
        found.append(_of_task(reader, executors[label].get("container", {}), settings.get(label, {})))
    return found


class _Reader:
    """Reader of settings that may be constants, placeholders or parameters; `used` maps settings to parameters."""

    def __init__(self, task: Task, values: Mapping[str, Any]) -> None:
        self.task = task
        self.values = values
        self.used: dict[str, str] = {}

    def text(self, setting: str, raw: object) -> str:
        """Read a container's setting: a constant or a text with one placeholder."""
        match = _PLACEHOLDER.fullmatch(str(raw or ""))
        if match is None:
            return str(raw or "")
        name = match[1]
        if name in self.task.constants:
            return str(self.task.constants[name])
        return str(self._parameter(setting, self.task.from_parameters.get(name, name)) or "")

    def platform(self, setting: str, raw: Mapping[str, Any] | None) -> Any:  # noqa: ANN401 - any JSON
        """Read a Kubernetes setting: `{runtimeValue: {constant: ...}}` or `{componentInputParameter: ...}`."""
        if not raw:
            return None
        if "componentInputParameter" in raw:
            name = str(raw["componentInputParameter"])
            value = self._parameter(setting, self.task.from_parameters.get(name, name))
        else:
            value = raw.get("runtimeValue", {}).get("constant")
        if isinstance(value, str) and value[:1] in {"{", "["}:
            value = json.loads(value)
        return value

    def _parameter(self, setting: str, name: str) -> Any:  # noqa: ANN401
        name = name.removeprefix(CHANNEL)
        if name in self.values:
            self.used[setting] = name
        return self.values.get(name)


def _of_task(reader: _Reader, container: Mapping[str, Any], settings: Mapping[str, Any]) -> TaskNeeds:
    resources = container.get("resources", {})
    accelerator = resources.get("accelerator", {})
    requests = {
        "cpu": reader.text("cpu", resources.get("resourceCpuRequest") or resources.get("resourceCpuLimit")),
        "memory": reader.text("memory", resources.get("resourceMemoryRequest") or resources.get("resourceMemoryLimit")),
    }
    # Read the count last, so that `gpu` refers to the parameter of the count.
    resource = reader.text("gpu_resource", accelerator.get("resourceType") or accelerator.get("type"))
    count = reader.text("gpu", accelerator.get("resourceCount") or accelerator.get("count"))
    if resource and count not in {"", "0"}:
        requests[resource] = count
    tolerations: list[Mapping[str, Any]] = []
    for toleration in settings.get("tolerations", []):
        given = reader.platform("tolerations", toleration.get("tolerationJson"))
        if "tolerationJson" not in toleration:
            tolerations.append(toleration)
        elif isinstance(given, list):
            tolerations += given
        elif given:
            tolerations.append(given)
    selector = settings.get("nodeSelector", {})
    labels = dict(reader.platform("node_selector", selector.get("nodeSelectorJson")) or selector.get("labels") or {})
    for term in settings.get("nodeAffinity", []):  # as the settings of a platform state it
        labels |= {rule["key"]: rule["values"][0] for rule in term.get("matchExpressions", [])}
    image = reader.text("image", container.get("image"))
    references = (
        *_references(reader, "Secret", settings),
        *_references(reader, "ConfigMap", settings),
        *_config_volumes(container, settings),
    )
    return TaskNeeds(
        task=reader.task.name,
        step=reader.task.step,
        image=image,
        requests={name: quantity for name, quantity in requests.items() if quantity},
        node_selector={str(key): str(value) for key, value in labels.items()},
        tolerations=tolerations,
        references=references,
        pull_secrets=tuple(secret["secretName"] for secret in settings.get("imagePullSecret", [])),
        run_as_user=int(user) if (user := settings.get("securityContext", {}).get("runAsUser")) else None,
        parameters=reader.used,
    )


def merged_references(tasks: Sequence[TaskNeeds]) -> list[Reference]:
    """Merge the references of several tasks to the same Secret or ConfigMap, which read different keys of it."""
    merged: dict[tuple[str, str, bool], Reference] = {}
    for reference in (reference for task in tasks for reference in task.references):
        key = (reference.kind, reference.name, reference.optional)
        before = merged.get(key, reference)
        keys = tuple(dict.fromkeys((*before.keys, *reference.keys)))
        merged[key] = replace(before, keys=keys, parameter=before.parameter or reference.parameter)
    return list(merged.values())


def _references(reader: _Reader, kind: Kind, settings: Mapping[str, Any]) -> list[Reference]:
    stem = kind[0].lower() + kind[1:]
    found: list[Reference] = []
    for entry in settings.get(f"{stem}AsEnv", []):
        setting = f"{kind} {len(found)}"
        name = reader.platform(setting, entry.get(f"{stem}NameParameter")) or entry.get(f"{stem}Name")
        if not name:
            continue
        keys = tuple(str(pair.get(f"{stem}Key", "")) for pair in entry.get("keyToEnv", []))
        parameter = reader.used.pop(setting, "")
        found.append(Reference(kind, str(name), keys, bool(entry.get("optional")), parameter))
    return found


def _config_volumes(container: Mapping[str, Any], settings: Mapping[str, Any]) -> list[Reference]:
    """List the ConfigMaps that are mounted, with the keys whose files variables of the container name."""
    values = [PurePosixPath(entry.get("value", "")) for entry in container.get("env", [])]
    return [
        Reference(
            "ConfigMap",
            str(volume["configMapName"]),
            tuple(dict.fromkeys(value.name for value in values if str(value.parent) == volume["mountPath"])),
            bool(volume.get("optional")),
        )
        for volume in settings.get("configMapAsVolume", [])
    ]
