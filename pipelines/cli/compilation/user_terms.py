"""Messages of the steps, with parameters as a user types them on the command line.

The parameters of a step have other names than those of the pipeline: `options.max_quarantine_percent=3` in a message of
`pack` is `pack_options='{"max_quarantine_percent": 3}'` for a user of the pipeline.
"""

import ast
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tilepipe.pipelines.cli.compilation.compiled_pipeline import CompiledPipeline
from tilepipe.pipelines.cli.run_folder import DEFAULT_FOLDER

_NAME = re.compile(r"(?<![\w./'\"-])(`?)([a-z]\w*)((?:\.\w+)*)(?![\w/-])")
_SCALAR = re.compile(
    r"'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"|-?\d+(?:\.\d+)?(?:e[-+]?\d+)?\b|(?:True|False|None|true|false)\b"
)
_BRACKETS = {"[": "]", "{": "}", "(": ")"}
_STRUCT = re.compile(r"(\{[^{}]*\}) in the options of \w+ \(a pipeline's `?(\w+)`?\)")
_ASIDE = re.compile(r"(?: in the options of \w+)? \(a pipeline's `?\w+`?\)| \(in a pipeline: as `?\w+`?\)")
"""Remarks in messages for users of the pipelines, which are superfluous with the names of the pipeline."""
_TWICE = re.compile(r"(\w+)='\{([^'\n]*)\}' (?:with|and) \1='\{([^'\n]*)\}'")
"""Two options of one parameter, which can be given only once."""
_CHOICES = "Use one of: "
_REGISTRY_COMMAND = re.compile(r"`(tilepipe (?:models|promote|rollback|run promote)\b[^`]*)`")
# Too common as words to be taken for an option without `options.` before them.
_ORDINARY = {"kind", "name", "cache"}


@dataclass(frozen=True)
class _Names:
    """Names of one task: step parameter -> pipeline parameter, and those of its parameters that are structs."""

    own: Mapping[str, str]
    structs: Mapping[str, Sequence[str]]
    others: Mapping[str, str]
    """Step parameter -> pipeline parameter of the other tasks, where it is the same for all of them."""

    def resolve(self, name: str, path: Sequence[str], *, marked: bool) -> tuple[str, tuple[str, ...]] | None:
        """Return the pipeline parameter that a name refers to, and the path in its struct; None for other words.

        Args:
            name: the name up to the first dot.
            path: the names after it.
            marked: whether backticks or `=` mark the name as code.
        """
        if path:
            known = path[0] in self.structs.get(name, ())
            is_item = marked and name in self.own and (name in self.structs or path[0].isdigit())
            return (self.own[name], tuple(path)) if known or is_item else None
        if not marked and "_" not in name:
            return None
        if name in self.own:
            return self.own[name], ()
        of_options = next((key for key, known in self.structs.items() if key.endswith("options") and name in known), "")
        if of_options and name not in _ORDINARY:
            return self.own[of_options], (name,)
        return (self.others[name], ()) if name in self.others else None


def translate(pipeline: CompiledPipeline, task: str, message: str) -> str:
    """Replace names and values of a step's parameters by those of the pipeline.

    Args:
        pipeline: the pipeline.
        task: name of the task whose step wrote the message.
        message: the message; other words stay as they are.

    Returns:
        The message, in which `name=value` can be pasted into a shell.
    """
    names = _names(pipeline, task)
    message, listing, choices = _ASIDE.sub("", _STRUCT.sub(r"\2='\1'", message)).partition(_CHOICES)
    parts, position = [], 0
    while match := _NAME.search(message, position):
        parts.append(message[position : match.start()])
        text, position = _replace(names, message, match)
        parts.append(text)
    translated = "".join([*parts, message[position:]])
    while (merged := _TWICE.sub(r"\1='{\2, \3}'", translated)) != translated:
        translated = merged
    return "".join([translated, listing, choices])


def in_folder(message: str, folder: Path) -> str:
    """Add the folder of local runs to the commands in a message that use a registry.

    Without it they would read, or change, the registry in the default folder.

    Args:
        message: the message.
        folder: folder of the local runs, as it was given; nothing is added for the default one.
    """
    if folder == DEFAULT_FOLDER:
        return message
    option = f" --folder {shlex.quote(str(folder))}"
    return _REGISTRY_COMMAND.sub(lambda match: f"`{match[1]}{option}`", message)


def _names(pipeline: CompiledPipeline, name: str) -> _Names:
    task = next((task for task in pipeline.tasks if task.name == name), None)
    others: dict[str, set[str]] = {}
    for other in pipeline.tasks:
        for key, parameter in other.from_parameters.items():
            others.setdefault(key, set()).add(parameter)
    unique = {key: found.pop() for key, found in others.items() if len(found) == 1}
    if task is None:
        return _Names({}, {}, unique)
    return _Names(task.from_parameters, {key: tuple(kind.model_fields) for key, kind in task.structs.items()}, unique)


def _replace(names: _Names, message: str, match: re.Match[str]) -> tuple[str, int]:
    """Return the replacement of a name, and the position after what it replaces."""
    quote, name, dotted = match.groups()
    end = match.end()
    follows = message[end : end + 1]
    found = names.resolve(name, dotted.split(".")[1:], marked=bool(quote) or follows == "=")
    if found is None:
        return match[0], end
    parameter, path = found
    if follows == "=":
        if message.startswith("[...]", end + 1):
            return f"{quote}{parameter}=NAME,...,NAME", end + 6
        value, after = _literal(message, end + 1)
        if after > end + 1:
            return quote + _assigned(parameter, path, value, message[end + 1 : after]), after
        return quote + ".".join((parameter, *path)), end
    if quote or not path:
        return quote + ".".join((parameter, *path)), end
    return f"{parameter}='{_nested(path, '...')}'", end


def _assigned(parameter: str, path: Sequence[str], value: Any, text: str) -> str:  # noqa: ANN401 - any literal
    if any(part.isdigit() for part in path):  # an item of a list
        return f"{'.'.join((parameter, *path))}={text}"
    if path:
        return f"{parameter}={shlex.quote(_nested(path, json.dumps(value, ensure_ascii=False)))}"
    if isinstance(value, bool | list | tuple | dict):
        return f"{parameter}={shlex.quote(json.dumps(value, ensure_ascii=False))}"
    return f"{parameter}={text}"


def _nested(path: Sequence[str], text: str) -> str:
    for name in reversed(path):
        text = f'{{"{name}": {text}}}'
    return text


def _literal(text: str, start: int) -> tuple[Any, int]:
    """Return the literal at a position, and the position after it; the same position if there is none."""
    closing: list[str] = []
    position = start
    while position < len(text):
        scalar = _SCALAR.match(text, position)
        if scalar:
            position = scalar.end()
        elif text[position] in _BRACKETS:
            closing.append(_BRACKETS[text[position]])
            position += 1
        elif closing and text[position] == closing[-1]:
            closing.pop()
            position += 1
        elif closing and text[position] in ",: ":
            position += 1
        else:
            return None, start
        if not closing:
            break
    literal = text[start:position]
    for parse in (json.loads, ast.literal_eval):
        with suppress(ValueError, SyntaxError, TypeError):
            value = parse(literal)
            json.dumps(value)
            return value, position
    return None, start
