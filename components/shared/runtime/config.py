"""Base of the configurations of all steps: frozen, without unknown fields, and with readable errors."""

import copy
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Self, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from tilepipe.components.shared.errors import ParameterError, closest

_TYPES = {
    "tuple_type": "should be a list",
    "list_type": "should be a list",
    "dict_type": "should be an object",
    "model_type": "should be an object",
    "string_type": "should be text",
    "string_pattern_mismatch": "must match the pattern",
}
"""Type of a problem -> rule, where pydantic's names a type of Python."""


class StepConfig(BaseModel):
    """Base class of the configuration of each step, and of the structs in it.

    The fields of a step's configuration have the names of its component's parameters, so that `tilepipe run` can
    check a whole run by the rules of the steps before anything starts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def parse(cls, **values: Any) -> Self:  # noqa: ANN401 - unchecked input
        """Build the configuration from parameters as KFP delivers them.

        KFP delivers the keys of a struct in another order in each process. They are sorted here, so that the order in
        which bands, classes or a search space are taken is the same in each run.

        Args:
            **values: one value per field; numbers inside structs may be floats, as KFP sends them.

        Raises:
            ParameterError: a name, a type or a value is wrong; the message lists all problems.
        """
        try:
            return cls(**_in_order(values))
        except ValidationError as error:
            raise ParameterError(_explain(error, cls)) from None

    @classmethod
    def from_arguments(cls, arguments: Mapping[str, Any]) -> Self:
        """Build the configuration from a component function's `locals()`.

        Args:
            arguments: names and values; those without a field, such as artifacts, are ignored.

        Raises:
            ParameterError: a type or a value is wrong; the message lists all problems.
        """
        return cls.parse(**{name: value for name, value in arguments.items() if name in cls.model_fields})

    @classmethod
    def field(cls, name: str) -> Any:  # noqa: ANN401 - a FieldInfo, which pydantic takes as default
        """Return the default, range and description of a field, for the same parameter of another step."""
        return copy.copy(cls.model_fields[name])


def _in_order(value: Any) -> Any:  # noqa: ANN401 - whatever JSON can hold
    """Sort the keys of a value from JSON, and of those within it."""
    if isinstance(value, dict):
        return {key: _in_order(value[key]) for key in sorted(value, key=str)}
    return [_in_order(one) for one in value] if isinstance(value, list) else value


def _explain(error: ValidationError, model: type[BaseModel]) -> str:
    problems: dict[tuple[Any, ...], dict[str, Any]] = {}
    for number, problem in enumerate(error.errors(include_url=False)):
        path = _without_choice(model, problem["loc"])
        if path == problem["loc"]:
            problems[(number, path)] = dict(problem)
        elif path in problems:  # the other types that the field may have
            problems[path]["msg"] += f", or {str(problem['msg']).removeprefix('Input should be ')}"
        else:
            problems[path] = {**problem, "loc": path, "type": "choice"}
    return "\n".join(_explain_one(problem, model) for problem in problems.values())


def _without_choice(model: type[BaseModel], path: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the path up to a field of several types; pydantic names the type after it."""
    for at, part in enumerate(path):
        field = _model_at(model, path[:at]).model_fields.get(str(part))
        kinds = get_args(field.annotation) if field and get_origin(field.annotation) in {Union, UnionType} else ()
        if len(set(kinds) - {NoneType}) > 1:
            return path[: at + 1]
    return path


def _explain_one(problem: Mapping[str, Any], model: type[BaseModel]) -> str:
    name = ".".join(str(part) for part in problem["loc"]) or "the parameters"
    received = repr(problem["input"])
    if problem["type"] == "extra_forbidden":
        known = sorted(_model_at(model, problem["loc"][:-1]).model_fields)
        close = closest(str(problem["loc"][-1]), known)
        hint = (
            f"Did you mean {'.'.join(map(str, (*problem['loc'][:-1], close)))}?"
            if close
            else f"Use one of: {', '.join(known)}."
        )
        return f"`{name}` is not a parameter. Received: {name}={received}. {hint}"
    if problem["type"] == "missing":
        return f"`{name}` is required and was not given. Give {name}=..."
    message = _TYPES.get(problem["type"]) or str(problem["msg"]).removeprefix("Value error, ").removeprefix(
        "Input "
    ).removeprefix("String ")
    if problem["type"] in {"value_error", "assertion_error"} and "Received:" in message:
        return message
    if problem["type"] == "value_error" and not problem["loc"]:
        return message
    if problem["loc"][-1:] == ("[key]",):
        return f"A key of `{'.'.join(map(str, problem['loc'][:-2]))}` {message}. Received: {received}."
    field = _model_at(model, problem["loc"][:-1]).model_fields.get(str(problem["loc"][-1]))
    meaning = f" {field.description}." if field and field.description and problem["type"] in _TYPES else ""
    pattern = f" {problem['ctx']['pattern']}" if problem["type"] == "string_pattern_mismatch" else ""
    return f"`{name}` {message}{pattern}. Received: {name}={received}.{meaning}"


def _model_at(model: type[BaseModel], path: tuple[Any, ...]) -> type[BaseModel]:
    for part in path:
        field = model.model_fields.get(str(part))
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            break
        model = field.annotation
    return model
