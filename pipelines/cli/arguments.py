"""Arguments of a run, from a file and from `name=value` words, checked against the pipeline before anything starts."""

import json
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from tilepipe.components.shared.errors import ParameterError, suggestion
from tilepipe.pipelines.cli import whole_run
from tilepipe.pipelines.cli.compilation import user_terms, yaml_text
from tilepipe.pipelines.cli.compilation.compiled_pipeline import TYPES, CompiledPipeline, Parameter, Task

_MOST_VALUES = 10_000

_SAID = {
    "STRING": "text",
    "NUMBER_INTEGER": "a whole number",
    "NUMBER_DOUBLE": "a number",
    "BOOLEAN": "true or false",
    "LIST": "a list, as JSON or separated by commas",
    "STRUCT": "a JSON object in single quotes",
}


def collect(pipeline: CompiledPipeline, config: Path | None, words: Sequence[str]) -> dict[str, Any]:
    """Collect and check the arguments of a run.

    Args:
        pipeline: the pipeline to run.
        config: YAML or JSON file of parameters, if any.
        words: words `name=value`, which override the file.

    Returns:
        Parameter -> value of the parameter's type, without the pipeline's defaults.

    Raises:
        ParameterError: a name is unknown, a value has the wrong type, or a step would refuse it; the message lists all
            problems.
    """
    pairs = [_split(word, before) for before, word in zip(["", *words], words, strict=False)]
    texts = {p.name for p in pipeline.parameters.values() if p.type == "STRING"}
    given = {**_read_config(config, texts), **dict(pairs)}
    problems, arguments = list(_repeated(pairs)), {}
    for name, value in given.items():
        parameter = pipeline.parameters.get(name)
        if parameter is None:
            problems.append(_unknown(pipeline, name, value))
            continue
        try:
            arguments[name] = _typed(parameter, value)
        except ParameterError as error:
            problems.append(str(error))
    missing = [p.name for p in pipeline.parameters.values() if p.required and p.name not in given]
    problems += [
        f"`{name}` is required and was not given. Give {name}=..., which `tilepipe run {pipeline.typed} {name} --help` "
        "describes."
        for name in missing
    ]
    if problems:
        raise ParameterError("\n".join(problems))
    defaults = {p.name: p.default for p in pipeline.parameters.values()}
    _check_steps(pipeline, {**defaults, **arguments})
    return arguments


def _check_steps(pipeline: CompiledPipeline, arguments: Mapping[str, Any]) -> None:
    """Check the arguments, including defaults, with the configurations of the steps."""
    problems: dict[str, None] = {}
    for task in pipeline.tasks:
        config = task.config
        if config is None:
            continue
        given = {key: value for key, value in task.constants.items() if key in config.model_fields}
        names = {key: name for key, name in task.from_parameters.items() if key in config.model_fields}
        given.update({key: arguments[name] for key, name in names.items()})
        for items in _iterations(task, arguments):
            try:
                config.parse(**given, **items)
            except ParameterError as error:
                lines = str(error).splitlines()
                problems.update(dict.fromkeys(user_terms.translate(pipeline, task.name, line) for line in lines))
    if not problems:  # the values are valid
        problems.update(dict.fromkeys(whole_run.contradictions(arguments)))
    if problems:
        raise ParameterError("\n".join(problems))


def _iterations(task: Task, arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what each iteration of a loop over a list of the pipeline's gives to a task; one entry without a loop."""
    lists = {key: arguments[name] for key, name in task.from_items.items()}
    if not lists:
        return [{}]
    return [dict(zip(lists, items, strict=True)) for items in zip(*lists.values(), strict=True)]


def only_file(paths: Sequence[Path] | None) -> Path | None:
    """Return the file of the option --config, of which the command line would keep the last of several.

    Raises:
        ParameterError: there are several.
    """
    if not paths or len(paths) == 1:
        return paths[0] if paths else None
    received = " ".join(f"--config {path}" for path in paths)
    raise ParameterError(
        f"--config must be given once. Received: {received}. Give one file, and the others' parameters as name=value."
    )


def _read_config(path: Path | None, texts: Collection[str]) -> Mapping[str, Any]:
    """Read the parameters of a file.

    Args:
        path: the file, if any.
        texts: names of the parameters that are text.
    """
    if path is None:
        return {}
    try:
        with path.open(encoding="utf-8") as file:
            values = yaml_text.Loader(file, texts).get_single_data()
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: not UTF-8, or !!int x
        raise ParameterError(f"--config must be a YAML file of parameters. Received: {path}: {error}.") from error
    if _count(values, {}) > _MOST_VALUES:
        rule = f"--config must hold at most {_MOST_VALUES:,} values, those that aliases (*name) repeat among them"
        raise ParameterError(f"{rule}. Received: more in {path}. Write the values out.")
    if not isinstance(values, dict):
        raise ParameterError(f"--config must contain `name: value` lines. Received: {path}, with {values!r}.")
    return values


def _count(value: object, known: dict[int, float]) -> float:
    """Count a value and those in it, as often as aliases repeat them; infinity if it contains itself."""
    if id(value) not in known:
        known[id(value)] = math.inf
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        known[id(value)] = 1 + sum(_count(each, known) for each in inner)
    return known[id(value)]


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a JSON object, whose last value of a repeated key Python would keep."""
    names = [name for name, _ in pairs]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise _RepeatedKeyError(", ".join(repeated))
    return dict(pairs)


class _RepeatedKeyError(Exception):
    """A JSON object has a key twice."""


def _repeated(pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    for name, given in values.items():
        if len(given) > 1:
            received = " ".join(f"{name}={value}" for value in given)
            yield f"`{name}` is given {len(given)} times. Received: {received}. Give it once."


def _split(word: str, before: str) -> tuple[str, str]:
    name, separator, value = word.partition("=")
    if separator:
        return name.strip(), value
    name, _, value = before.partition("=")
    is_rest = value.endswith((",", ":")) or any(value.count(a) > value.count(b) for a, b in ("[]", "{}"))
    remedy = f"Put a value with spaces in single quotes: {name}='...'." if is_rest else "Add the missing `=`."
    raise ParameterError(f"Parameters are given as name=value. Received: {word!r}. {remedy}")


def _unknown(pipeline: CompiledPipeline, name: str, value: object) -> str:
    hint = suggestion(name, pipeline.parameters, f"`tilepipe run {pipeline.typed} --help` lists all parameters.")
    return f"`{name}` is not a parameter of {pipeline.name}. Received: {name}={value}. {hint}"


def _example(parameter: Parameter) -> str:
    """Return the first example in the description of a parameter, or its default, as typed into a shell."""
    for found in re.findall(r"\{[^{}]*\}", parameter.description):
        with suppress(ValueError):
            return f"{parameter.name}='{json.dumps(json.loads(found))}'"
    return f"{parameter.name}='{json.dumps(parameter.default)}'"


def _separated(parameter: Parameter, value: str) -> list[str]:
    """Return the texts between commas; brackets would become part of the first and the last one."""
    parts = [part.strip() for part in value.split(",") if part.strip()]
    if parts and parts[0].startswith("[") and parts[-1].endswith("]"):
        inner = [part.strip(" '\"") for part in value.strip()[1:-1].split(",")]
        raise ParameterError(
            f"`{parameter.name}` must be {_SAID['LIST']}, whose texts are in double quotes. Received: "
            f"{parameter.name}={value!r}. Give {parameter.name}={','.join(filter(None, inner))}, or "
            f"{parameter.name}='{json.dumps(inner, ensure_ascii=False)}'."
        )
    return parts


def _typed(parameter: Parameter, value: object) -> object:
    """Convert a value to the parameter's type; text for a type other than string is read as JSON."""
    wanted = TYPES[parameter.type]
    read = value
    if isinstance(value, str) and str not in wanted:
        try:
            read = json.loads(value, object_pairs_hook=_unique_keys)
        except _RepeatedKeyError as error:
            raise ParameterError(
                f"Each key in `{parameter.name}` must be given once. Received: {parameter.name}={value!r}, with "
                f"several {error}. Remove all but one."
            ) from None
        except (ValueError, RecursionError):
            if parameter.type == "LIST":
                read = _separated(parameter, value)
            elif parameter.type == "BOOLEAN":
                read = {"true": True, "false": False}.get(value.lower(), value)
    elif parameter.type == "STRING" and isinstance(value, int | float) and not isinstance(value, bool):
        read = str(value)  # a YAML file's `train_gpu_count: 1`
    if isinstance(read, bool) != (parameter.type == "BOOLEAN") or not isinstance(read, wanted):
        raise ParameterError(
            f"`{parameter.name}` must be {_SAID[parameter.type]}. Received: {parameter.name}={value!r}."
            + (f" For example, use {_example(parameter)}." if parameter.type == "STRUCT" else "")
        )
    if parameter.type != "NUMBER_DOUBLE" or not isinstance(read, int):
        return read
    try:
        return float(read)
    except OverflowError:
        raise ParameterError(f"`{parameter.name}` must be below 1.8e308. Received: an integer above it.") from None
