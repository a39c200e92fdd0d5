"""Compiled pipelines: their names, the contents of their YAML, and its strict validation."""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import yaml

from tilepipe.components.shared.errors import ArtifactError, ParameterError, suggestion
from tilepipe.components.shared.runtime.config import StepConfig
from tilepipe.components.shared.version import VERSION

ParameterType = Literal["STRING", "NUMBER_INTEGER", "NUMBER_DOUBLE", "BOOLEAN", "LIST", "STRUCT"]
TYPES: dict[ParameterType, tuple[type, ...]] = {
    "STRING": (str,),
    "NUMBER_INTEGER": (int,),
    "NUMBER_DOUBLE": (int, float),
    "BOOLEAN": (bool,),
    "LIST": (list,),
    "STRUCT": (dict,),
}
"""Type of a parameter -> types of its values, as JSON has them; a boolean is no number."""

_FOLDER = Path(__file__).resolve().parents[2]  # an editable install links here
CHANNEL = "pipelinechannel--"
"""Prefix that KFP gives to the names of values that reach a task from outside."""
_ITEM_OF = "item of "


@dataclass(frozen=True)
class Parameter:
    """A parameter of a pipeline, from its YAML."""

    name: str
    type: ParameterType
    description: str
    required: bool
    default: Any


@dataclass(frozen=True)
class Task:
    """A task of a pipeline: its step, and the origin of the step's parameters."""

    name: str
    component: str
    step: str
    constants: dict[str, Any]
    """Step parameter -> value fixed in the pipeline."""
    from_parameters: dict[str, str]
    """Step parameter -> pipeline parameter."""
    from_items: dict[str, str]
    """Step parameter -> pipeline parameter of the list whose items a loop gives it."""
    needs: tuple[str, ...]
    """Names of the tasks whose outputs it takes, including those of a loop."""
    config: type[StepConfig] | None
    """Configuration of the step; None for a component of another project, whatever its name."""

    @property
    def structs(self) -> dict[str, type[StepConfig]]:
        """Step parameter -> its class, for those that are structs and come from the pipeline."""
        fields = self.config.model_fields if self.config else {}
        kinds = {key: field.annotation for key, field in fields.items() if key in self.from_parameters}
        return {key: kind for key, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, StepConfig)}


@dataclass(frozen=True)
class CompiledPipeline:
    """One committed `pipeline.yaml`."""

    name: str
    path: Path

    @cached_property
    def documents(self) -> tuple[dict[str, Any], ...]:
        """The pipeline spec, and the platform spec if there is one."""
        return read_documents(self.path)

    @property
    def spec(self) -> dict[str, Any]:
        """The pipeline spec as plain data."""
        return self.documents[0]

    @property
    def typed(self) -> str:
        """The word for the pipeline on the command line: its name, or the path of a YAML from elsewhere."""
        return self.name if self.path == committed(self.name) else shlex.quote(str(self.path))

    @property
    def description(self) -> str:
        """Description of the pipeline, from its docstring."""
        return str(self.spec["pipelineInfo"].get("description", "")).strip()

    @property
    def kfp_name(self) -> str:
        """Name of the pipeline on a server."""
        return str(self.spec["pipelineInfo"]["name"])

    @property
    def display_name(self) -> str:
        """The name that Kubeflow's UI shows."""
        return str(self.spec["pipelineInfo"].get("displayName") or self.kfp_name)

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        """Parameters by name, in alphabetical order, as Kubeflow's run form shows them."""
        declared = self.spec["root"].get("inputDefinitions", {}).get("parameters", {})
        return {
            name: Parameter(
                name=name,
                type=what["parameterType"],
                description=" ".join(what.get("description", "").split()),
                required=not what.get("isOptional", False),
                default=_as_typed(what.get("defaultValue"), what["parameterType"]),
            )
            for name, what in sorted(declared.items())
        }

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """All tasks that run a container, in no particular order."""
        return tuple(self._walk(self.spec["root"]["dag"], {}))

    def producer(self, dag: dict[str, Any], task: str, output: str) -> tuple[str, str]:
        """Return the task that creates an output and the output's name there; resolves the outputs of a loop."""
        component = self.spec["components"][dag["tasks"][task]["componentRef"]["name"]]
        if "dag" not in component:
            return task, output
        (selected,) = component["dag"]["outputs"]["artifacts"][output]["artifactSelectors"]
        return self.producer(component["dag"], selected["producerSubtask"], selected["outputArtifactKey"])

    def _command(self, executor_label: str) -> Sequence[str]:
        container = self.spec["deploymentSpec"]["executors"][executor_label].get("container", {})
        command: Sequence[str] = container.get("command", ())
        return command

    def _walk(self, dag: dict[str, Any], outer: dict[str, str], made: dict[str, str] | None = None) -> Iterator[Task]:
        """Yield the tasks of a graph.

        `outer` maps the graph's inputs to pipeline parameters, and `made` maps those that other tasks create to these
        tasks.
        """
        for name, task in dag["tasks"].items():
            component = self.spec["components"][task["componentRef"]["name"]]
            inputs = task.get("inputs", {})
            channels, constants, makers = {}, {}, {}
            for kind in ("parameters", "artifacts"):
                for key, source in inputs.get(kind, {}).items():
                    channel = source.get("componentInputParameter") or source.get("componentInputArtifact")
                    if channel is not None and channel in (made or {}):
                        makers[key] = (made or {})[channel]
                    elif channel is not None and kind == "parameters":
                        channels[key] = outer.get(channel, channel)
                    elif "runtimeValue" in source:
                        constants[key] = source["runtimeValue"].get("constant")
                    elif output := source.get("taskOutputParameter"):
                        makers[key] = output["producerTask"]
                    elif output := source.get("taskOutputArtifact"):
                        makers[key], _ = self.producer(dag, output["producerTask"], output["outputArtifactKey"])
            if "dag" in component:
                items = task.get("parameterIterator", {})
                if "inputParameter" in items.get("items", {}):  # the items of a list, one per iteration
                    item, whole = items["itemInput"], items["items"]["inputParameter"]
                    if whole in makers:
                        makers[item] = makers[whole]
                    else:  # a list that is a parameter of the pipeline
                        channels[item] = f"{_ITEM_OF}{channels[whole]}"
                yield from self._walk(component["dag"], channels, makers)
                continue
            label, command = component["executorLabel"], self._command(component["executorLabel"])
            yield Task(
                name=name,
                component=task["componentRef"]["name"],
                step=step_name(label, command),
                constants=constants,
                from_parameters={k: v.removeprefix(CHANNEL) for k, v in channels.items() if _ITEM_OF not in v},
                from_items={
                    k: v.removeprefix(_ITEM_OF).removeprefix(CHANNEL) for k, v in channels.items() if _ITEM_OF in v
                },
                needs=tuple(dict.fromkeys(makers.values())),
                config=step_config(own) if (own := _own_step(command)) else None,
            )


def step_name(executor_label: str, command: Sequence[str]) -> str:
    """Return the step of an executor: the name in the `with step(...)` of its source, else the label's first word."""
    return _own_step(command) or executor_label.removeprefix("exec-").partition("-")[0]


def _own_step(command: Sequence[str]) -> str:
    """Return the name in the `with step(...)` of a component of tilepipe; empty for another component."""
    found = re.search(r'with step\("(\w+)"\)', " ".join(command))
    return found[1] if found else ""


def step_config(step: str) -> type[StepConfig] | None:
    """Return the configuration class of a step, such as `IngestConfig`; None for a step of another project."""
    name = f"tilepipe.components.{step}.config"
    if find_spec(f"tilepipe.components.{step}") is None or find_spec(name) is None:
        return None
    module = import_module(name)
    found: type[StepConfig] = getattr(module, f"{step.title().replace('_', '')}Config")
    return found


def names() -> tuple[str, ...]:
    """Return the names of the pipelines of this version."""
    return tuple(sorted(path.parent.name for path in _FOLDER.glob("*/pipeline.py")))


def known(name: str) -> str:
    """Return the name of a pipeline of this version, with `_` for `-`.

    Raises:
        ParameterError: there is no such pipeline.
    """
    if name.replace("-", "_") not in names():
        raise _unknown(name, "", "Choose one of these.")
    return name.replace("-", "_")


def _unknown(name: str, others: str, otherwise: str) -> ParameterError:
    hint = suggestion(name.replace("-", "_"), names(), otherwise)
    return ParameterError(f"A pipeline is one of {', '.join(names())}{others}. Received: {name}. {hint}")


def read_documents(path: Path) -> tuple[dict[str, Any], ...]:
    """Read the documents of a YAML file, with libyaml where PyYAML has it, which is four times faster."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return tuple(yaml.load_all(path.read_text(encoding="utf-8"), Loader=loader))


def header(settings_digest: str = "") -> str:
    """Return the first line of a compiled YAML, with the digest of the settings of the platform, if any."""
    settings = f" with settings {settings_digest}" if settings_digest else ""
    return f"# Compiled by tilepipe {VERSION} (`tilepipe compile`){settings}; do not edit."


def committed(name: str) -> Path:
    """Return the path of the committed YAML of a pipeline."""
    return _FOLDER / name / "pipeline.yaml"


def load(name: str) -> CompiledPipeline:
    """Load a compiled pipeline.

    Args:
        name: a name from `names()`, with `-` or `_`, or the path of a YAML file.

    Raises:
        ParameterError: there is no such pipeline.
        ArtifactError: the file is not a compiled pipeline.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else committed(name.replace("-", "_"))
    if not path.is_file():
        raise _unknown(name, ", or the path of a compiled YAML", "`tilepipe compile` writes the YAML.")
    pipeline = CompiledPipeline(path.parent.name if path.name == "pipeline.yaml" else path.stem, path)
    try:
        pipeline.spec["root"]["dag"]
    except (yaml.YAMLError, KeyError, TypeError, IndexError) as error:
        raise ArtifactError(
            f"The YAML must be a compiled KFP v2 pipeline. Received: {path}: {error!r}. `tilepipe compile` writes one."
        ) from error
    return pipeline


def parse_strictly(path: Path) -> None:
    """Validate a compiled pipeline as the API server does: both documents, without unknown fields.

    Args:
        path: path of the YAML.

    Raises:
        ArtifactError: a field is unknown to KFP's protocol buffers, or a value has the wrong type.
    """
    from google.protobuf import json_format
    from kfp.kubernetes import kubernetes_executor_config_pb2
    from kfp.pipeline_spec import pipeline_spec_pb2

    spec, *platforms = read_documents(path)
    try:
        json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
        for executor in spec["deploymentSpec"]["executors"].values():
            json_format.ParseDict(executor, pipeline_spec_pb2.PipelineDeploymentConfig.ExecutorSpec())
        for document in platforms:
            json_format.ParseDict(document, pipeline_spec_pb2.PlatformSpec())
            executors = document["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
            for settings in executors.values():
                json_format.ParseDict(settings, kubernetes_executor_config_pb2.KubernetesExecutorConfig())
    except json_format.ParseError as error:
        raise ArtifactError(
            f"The YAML must be one that KFP's API server accepts. Received: {path}: {error}. Compile it again."
        ) from error


def _as_typed(default: Any, kind: ParameterType) -> Any:  # noqa: ANN401
    """Restore the type of a default; in the YAML all numbers are doubles, as in KFP's protocol buffers."""
    return int(default) if kind == "NUMBER_INTEGER" and default is not None else default
