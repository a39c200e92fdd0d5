"""The tables of a step's options in its README, written from the fields that check them."""

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tilepipe import components
from tilepipe.components.shared.errors import ArtifactError
from tilepipe.pipelines.cli.compilation.compiled_pipeline import step_config

OPENS = "<!-- Options: written by `make pipelines` from config.py -->"
CLOSES = "<!-- End of options -->"
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
    """The steps whose README has a place for these tables."""
    pages = sorted(_FOLDER.glob("*/README.md"))
    return tuple(page.parent.name for page in pages if OPENS in page.read_text(encoding="utf-8"))


def readme(step: str) -> Path:
    """A step's README."""
    return _FOLDER / step / "README.md"


def write_options(step: str) -> bool:
    """Write the tables into a step's README.

    Returns:
        Whether the file changed.

    Raises:
        ArtifactError: the README has no place for them.
    """
    path = readme(step)
    text = path.read_text(encoding="utf-8")
    new = with_options(text, step)
    if new != text:
        path.write_text(new, encoding="utf-8")
    return new != text


def with_options(text: str, step: str) -> str:
    """A README with the tables of a step's options between the two marks, whatever stood there before.

    Raises:
        ArtifactError: a mark is missing.
    """
    before, opens, rest = text.partition(OPENS)
    _, closes, after = rest.partition(CLOSES)
    config = step_config(step)
    if not (opens and closes and config):
        raise ArtifactError(f"The README of a step with options must hold {OPENS!r} and {CLOSES!r}. Received: {step}.")
    return f"{before}{OPENS}\n\n{tables(config.model_fields['options'].annotation)}\n\n{CLOSES}{after}"


def tables(options: Any) -> str:  # noqa: ANN401 - a field's annotation, which is a pydantic model here
    """A table for each class that the options are made of, under that class's own first line.

    Args:
        options: a pydantic model, or one that inherits from several, each with a group of the fields.
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


def _row(name: str, field: dict[str, Any]) -> str:
    description = " ".join(field["description"].split()).replace("|", "\\|")
    return f"| `{name}` | `{json.dumps(field['default'])}` | {_values(field)} | {description} |"


def _values(field: dict[str, Any]) -> str:
    """What a field takes, from its JSON schema, in words."""
    if "anyOf" in field:
        return ", ".join(_values(kind) for kind in field["anyOf"] if kind["type"] != "null")
    if "enum" in field or "const" in field:
        return ", ".join(map(str, field.get("enum", [field.get("const")])))
    kind = _KINDS.get(field["type"], "number")
    bounds = (f"{word} {field[bound]:,g}" for bound, word in _BOUNDS.items() if bound in field)
    return " ".join((kind, *bounds))
