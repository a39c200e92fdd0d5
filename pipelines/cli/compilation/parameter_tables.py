"""The tables of a step's parameters and options in its README, written from the fields of its configuration."""

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tilepipe import components
from tilepipe.components.shared.errors import ArtifactError
from tilepipe.pipelines.cli.compilation.compiled_pipeline import load, step_config
from tilepipe.pipelines.cli.compilation.compiled_pipeline import names as all_pipelines

OPENS = "<!-- Parameters: written by `make pipelines` from config.py -->"
CLOSES = "<!-- End of parameters -->"
_PIPELINE = "train_classifier"
_KINDS = {
    "array": "list",
    "boolean": "true, false",
    "integer": "whole number",
    "object": "struct",
    "string": "text",
}
_BOUNDS = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
_FOLDER = Path(components.__file__).resolve().parent  # an editable install links here


def steps() -> tuple[str, ...]:
    """Return the steps that have parameters, in alphabetical order."""
    folders = sorted(path.parent.name for path in _FOLDER.glob("*/config.py"))
    return tuple(name for name in folders if step_config(name))


def readme(step: str) -> Path:
    """Return the path of a step's README."""
    return _FOLDER / step / "README.md"


def with_tables(text: str, step: str) -> str:
    """Replace the text between the two marks of a README by the tables of a step.

    Raises:
        ArtifactError: a mark is missing.
    """
    before, opens, rest = text.partition(OPENS)
    _, closes, after = rest.partition(CLOSES)
    config = step_config(step)
    if not (opens and closes and config):
        raise ArtifactError(f"The README of a step must hold the lines {OPENS!r} and {CLOSES!r}. Received: {step}.")
    table = parameter_table(config, pipeline_names(step), pipeline_of(step))
    return f"{before}{OPENS}\n\n{table}\n\n{CLOSES}{after}"


def pipeline_of(step: str) -> str:
    """Return the pipeline that a step is for: the one of its own name, else `train_classifier` or another with it."""
    if step in all_pipelines():
        return step
    wired = (name for name in (_PIPELINE, *all_pipelines()) if any(task.step == step for task in load(name).tasks))
    return next(wired, _PIPELINE)


def pipeline_names(step: str) -> dict[str, str]:
    """Map a step's parameters to the names that they have in its pipeline."""
    tasks = (task for task in load(pipeline_of(step)).tasks if task.step == step)
    return {name: given for task in tasks for name, given in (task.from_items | task.from_parameters).items()}


def parameter_table(config: type[BaseModel], in_pipeline: dict[str, str], pipeline: str = _PIPELINE) -> str:
    """Return the table of a step's parameters, followed by those of the structs among them.

    Args:
        config: the step's configuration.
        in_pipeline: parameter -> its name in the pipeline.
        pipeline: the pipeline's name.
    """
    fields = config.model_json_schema()["properties"]
    head = [f"| parameter | in `{pipeline}` | default | values | |", "| --- | --- | --- | --- | --- |"]
    rows = [_row(name, fields[name], f" {_code(in_pipeline.get(name, ''))} |") for name in config.model_fields]
    structs = [
        option_tables(field.annotation)
        for field in config.model_fields.values()
        if inspect.isclass(field.annotation) and issubclass(field.annotation, BaseModel)
    ]
    return "\n\n".join(["\n".join([*head, *rows]), *structs])


def option_tables(options: type[BaseModel]) -> str:
    """Return a table for each class that the options consist of, below the first line of its docstring.

    Args:
        options: a model, or one that inherits from several, each with a group of the fields.
    """
    fields = options.model_json_schema()["properties"]
    return "\n\n".join(
        f"{str(inspect.getdoc(group)).splitlines()[0]}\n\n| option | default | values | |\n| --- | --- | --- | --- |\n"
        + "\n".join(_row(name, fields[name]) for name in names)
        for group, names in _groups(options)
    )


def _groups(options: type[BaseModel]) -> Iterator[tuple[type[BaseModel], list[str]]]:
    for group in options.__mro__:
        names = [name for name in vars(group).get("__annotations__", {}) if name in options.model_fields]
        if names:
            yield group, names


def _row(name: str, field: dict[str, Any], more: str = "") -> str:
    description = " ".join(field["description"].split()).replace("|", "\\|")
    values = _values(field)
    default = {} if values == "struct" and "$ref" in field else field.get("default")
    shown = _code(json.dumps(default)) if "default" in field else "required"
    return f"| `{name}` |{more} {shown} | {values} | {description} |"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _values(field: dict[str, Any]) -> str:
    """Describe the values that a field takes, from its JSON schema."""
    if "$ref" in field:
        return "struct"
    if "anyOf" in field:
        return ", ".join(_values(kind) for kind in field["anyOf"] if kind.get("type") != "null")
    if "enum" in field or "const" in field:
        return ", ".join(map(str, field.get("enum", [field.get("const")])))
    kind = _KINDS.get(field["type"], "number")
    bounds = (f"{word} {_number(field[bound])}" for bound, word in _BOUNDS.items() if bound in field)
    return " ".join((kind, *bounds))


def _number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:g}"
