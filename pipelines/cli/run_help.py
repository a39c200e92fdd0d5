"""Help of `tilepipe run`: the parameters of a pipeline in groups, with the options of each struct."""

import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from tilepipe.components.shared.errors import ParameterError, suggestion
from tilepipe.pipelines.cli.compilation import compiled_pipeline
from tilepipe.pipelines.cli.compilation.compiled_pipeline import CompiledPipeline, Parameter

WIDTH = 80

_USAGE = """\
Usage: tilepipe run PIPELINE [NAME=VALUE]... [OPTIONS]

Run a pipeline on this machine, and record it in a local MLflow store. The same
parameters are for `tilepipe submit`, which runs it on Kubeflow.

Options:
  --config FILE         YAML file of parameters; NAME=VALUE overrides it.
  --folder FOLDER       Folder for runs and the MLflow store. [default: runs]
  --cache, --no-cache   Reuse results of earlier runs in the folder, where data,
                        parameters and code are the same. [default: --cache]
  --output text|json    json prints one JSON document with the result, and the
                        progress on standard error. [default: text]
  --help                Show this help; after PIPELINE and the name of a
                        parameter, describe that parameter and its options.
"""
_EXAMPLES: Mapping[str, Sequence[Sequence[str]]] = {
    "train_classifier": (
        ("data_source=tiles/", "train_epochs=20"),
        ("data_source=catalog.json", "data_bands=B04,B03,B02", "split_by=block", "split_block_metres=5000"),
        ("train_options", "--help"),
    ),
    "train_classifier_small": (("data_source=tiles/",),),
    "tune_classifier": (("data_source=tiles/", "tune_space='{\"learning_rate\": [0.001, 0.01]}'"),),
    "predict_tiles": (("data_source=new/", "model_uri=models:/forests@champion", "output_uri=predictions/"),),
    "predict_scenes": (("scene_uris=scene.tif", "model_uri=model.tar.gz", "output_uri=maps/"),),
    "promote": (("model_name=forests", "gate_floors='{\"accuracy\": 0.9}'"),),
}
"""Pipeline -> words of example commands."""
_GROUPS: Mapping[str, Sequence[str]] = {
    "Data": ("data", "pack", "scene"),
    "Splits": ("split",),
    "Model": ("model",),
    "Training": ("train", "seed"),
    "Search": ("tune",),
    "Evaluation, export and registration": ("evaluate", "export", "register", "tracking_experiment"),
    "Prediction": ("predict", "output"),
    "Promotion": ("gate", "promote"),
    "Cluster": (
        "data_secret_name",
        "storage_secret_name",
        "tracking_secret_name",
        "pack_workers",
        "predict_workers",
        "tune_workers",
        "train_gpu",
        "train_image",
        "train_memory_limit",
        "train_node_selector",
        "train_tolerations",
    ),
}
"""Title -> beginnings of the names of its parameters; the longest beginning decides."""
_TYPES = {"STRING": "TEXT", "NUMBER_INTEGER": "INTEGER", "NUMBER_DOUBLE": "NUMBER", "STRUCT": "JSON"}


def overview(name: str) -> str:
    """Return the help of a pipeline: usage, examples, and all parameters, at most 80 characters wide."""
    pipeline = compiled_pipeline.load(name)
    examples = _EXAMPLES.get(pipeline.name.removesuffix("_streaming"), ())
    lines = [_USAGE, *_wrapped(f"Pipelines: {', '.join(compiled_pipeline.names())}", "", "  "), ""]
    if examples:
        lines += ["Examples:", *(line for words in examples for line in _command(pipeline.name, words)), ""]
    lines += _wrapped(f"Parameters of {pipeline.name}:", "", "")
    structs = _structs(pipeline)
    for title, parameters in _grouped(pipeline).items():
        lines += ["", f"{title}:"]
        for parameter in parameters:
            lines += _parameter(parameter)
            if parameter.name in structs:
                lines += _wrapped(f"Options: {', '.join(structs[parameter.name].model_fields)}", " " * 6, " " * 8)
    return "\n".join(lines)


def details(name: str, parameters: Sequence[str]) -> str:
    """Return the help of single parameters, with each option of a struct.

    Args:
        name: Name of the pipeline, or the path of its YAML.
        parameters: Names of the parameters; values after `=` are ignored.

    Raises:
        ParameterError: A name is not a parameter of the pipeline.
    """
    pipeline = compiled_pipeline.load(name)
    structs = _structs(pipeline)
    lines: list[str] = []
    for wanted in (parameter.partition("=")[0] for parameter in parameters):
        if wanted not in pipeline.parameters:
            hint = suggestion(wanted, pipeline.parameters, f"`tilepipe run {pipeline.typed} --help` lists all.")
            raise ParameterError(f"Help is for parameters of {pipeline.name}. Received: {wanted}. {hint}")
        lines += _parameter(pipeline.parameters[wanted])
        if wanted in structs:
            lines += ["", f"  Options, as in {wanted}='{_example(structs[wanted])}':"]
            lines += _options(structs[wanted])
    return "\n".join(lines)


def _command(name: str, words: Sequence[str]) -> list[str]:
    lines = [f"  tilepipe run {name}"]
    for word in words:
        if len(lines[-1]) + len(word) + 3 > WIDTH:
            lines[-1] += " \\"
            lines.append(f"     {word}")
        else:
            lines[-1] += f" {word}"
    return lines


def _grouped(pipeline: CompiledPipeline) -> dict[str, list[Parameter]]:
    groups: dict[str, list[Parameter]] = {title: [] for title in (*_GROUPS, "Other")}
    for parameter in pipeline.parameters.values():
        groups[_title(parameter.name)].append(parameter)
    for parameters in groups.values():
        parameters.sort(key=lambda parameter: (not parameter.required, parameter.type == "STRUCT"))
    return {title: parameters for title, parameters in groups.items() if parameters}


def _title(name: str) -> str:
    found = [(len(start), title) for title, starts in _GROUPS.items() for start in starts if name.startswith(start)]
    return max(found)[1] if found else "Other"


def _structs(pipeline: CompiledPipeline) -> dict[str, type[BaseModel]]:
    """Return the models of the parameters that are structs, by the names of the parameters."""
    found: dict[str, type[BaseModel]] = {}
    for task in pipeline.tasks:
        for key, kind in task.structs.items():
            found.setdefault(task.from_parameters[key], kind)
    return found


def _parameter(parameter: Parameter) -> list[str]:
    kind = _TYPES.get(parameter.type, parameter.type)
    default = "required" if parameter.required else f"default: {_shown(parameter.default)}"
    head = f"  {parameter.name}={kind}  [{default}]"
    heads = (
        [head] if len(head) <= WIDTH else [f"  {parameter.name}={kind}", *_wrapped(f"[{default}]", " " * 6, " " * 7)]
    )
    return [*heads, *_wrapped(parameter.description, " " * 6, " " * 6)]


def _options(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        yield f"    {name}  [default: {_shown(default)}]"
        description = " ".join(str(field.description or "").split())
        unnamed = [choice for choice in _choices(field.annotation) if not re.search(rf"\b{choice}\b", description)]
        if unnamed:
            description += f": {', '.join(_choices(field.annotation))}"
        yield from _wrapped(description, " " * 8, " " * 8)


def _choices(annotation: Any) -> list[str]:  # noqa: ANN401 - any type
    return [str(choice) for choice in get_args(annotation)] if get_origin(annotation) is Literal else []


def _example(model: type[BaseModel]) -> str:
    name, field = next(iter(model.model_fields.items()))
    return json.dumps({name: _plain(field.get_default(call_default_factory=True))})


def _plain(value: Any) -> Any:  # noqa: ANN401 - any default
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_defaults=True)
    return value


def _shown(value: Any) -> str:  # noqa: ANN401 - any default
    return json.dumps(_plain(value), ensure_ascii=False, default=str)


def _wrapped(text: str, first: str, other: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=other, break_long_words=False, break_on_hyphens=False
    )
