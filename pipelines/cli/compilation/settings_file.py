"""The file with the settings of a platform: reading it, and messages that state what to write instead."""

import hashlib
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from tilepipe.components.shared.errors import ParameterError, closest
from tilepipe.pipelines.cli.compilation import compiled_pipeline, yaml_text
from tilepipe.pipelines.cli.compilation.compiled_pipeline import CompiledPipeline
from tilepipe.pipelines.cli.compilation.platform_settings import PlatformSettings, suggest

VARIABLE = "TILEPIPE_SETTINGS"
"""The environment variable with the path of the file."""


@dataclass(frozen=True)
class Platform:
    """A platform: the file, and the settings in it."""

    path: Path
    settings: PlatformSettings

    @property
    def folder(self) -> Path:
        """Folder of the pipelines that are compiled with the settings."""
        return self.path.parent / self.settings.compiled

    @cached_property
    def digest(self) -> str:
        """Digest of eight hexadecimal digits of the settings that are compiled into pipelines."""
        compiled = self.settings.model_dump_json(exclude={"compiled", "service_account"})
        return hashlib.sha256(compiled.encode()).hexdigest()[:8]

    def load(self, name: str) -> CompiledPipeline:
        """Load a pipeline that was compiled with the settings.

        Args:
            name: a name from `compiled_pipeline.names()`, with `-` or `_`.

        Raises:
            ParameterError: there is no such pipeline, or it was not compiled with these settings.
        """
        stem = name.replace("-", "_")
        path = self.folder / f"{stem}.yaml"
        if stem not in compiled_pipeline.names():
            return compiled_pipeline.load(name)
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        if lines[:1] != [compiled_pipeline.header(self.digest)]:
            found = f"{path}, compiled with other settings or another version" if lines else f"{path}, which is absent"
            raise ParameterError(
                f"A pipeline must be compiled with the settings {self.path}. Received: {found}. Compile it:\n"
                f"  tilepipe compile {stem} --settings {shlex.quote(str(self.path))}"
            )
        return compiled_pipeline.load(str(path))


def platform(path: Path | None) -> Platform | None:
    """Read the settings that a command was given, if any."""
    return Platform(path, read(path)) if path else None


def account(given: str, platform: Platform | None) -> str:
    """Return the service account of a run: the given one, else that of the settings; empty for KFP's."""
    return given or (platform.settings.service_account if platform else "")


def names(platform: Platform | None) -> tuple[str, ...]:
    """Return the names of the pipelines that the platform's folder contains; without a platform, of all."""
    known = compiled_pipeline.names()
    there = tuple(name for name in known if platform and (platform.folder / f"{name}.yaml").is_file())
    return there or known


def load(name: str, platform: Platform | None) -> CompiledPipeline:
    """Load a compiled pipeline: by its name from the platform's folder, else the committed one; or by its path."""
    if platform is None or name.endswith((".yaml", ".yml")):
        return compiled_pipeline.load(name)
    return platform.load(name)


def read(path: Path) -> PlatformSettings:
    """Read and validate the file.

    Args:
        path: path of the YAML file; an empty file changes nothing.

    Raises:
        ParameterError: the file is missing or no YAML, or a setting is wrong; the message lists all problems, each
            with a line to paste.
    """
    try:
        given = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml_text.Loader)  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise ParameterError(
            f"--settings (or {VARIABLE}) must be a readable file. Received: {path}: {error.strerror}. Correct the path."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParameterError(f"{path} must be YAML. Received: {' '.join(str(error).split())}. Correct it.") from None
    if not isinstance(given, dict | None):
        raise ParameterError(f"{path} must contain settings. Received: {given!r}. Write, such as:\n  {EXAMPLE}")
    try:
        return PlatformSettings(**(given or {}))
    except ValidationError as error:
        problems: dict[str, None] = {}
        places = set()
        for problem in error.errors(include_url=False):
            place = _path(problem["loc"])
            if place not in places or problem["type"] == "value_error":  # one error for all types of a union
                problems[f"{path}: {_explain(place, dict(problem))}"] = None
            places.add(place)
        raise ParameterError("\n".join(problems)) from None


EXAMPLE = "pods: {node_selector: {pool: batch}}"


def _path(location: Sequence[int | str]) -> tuple[int | str, ...]:
    """Return the place in the file, without pydantic's names of types in unions."""
    types = re.compile(r"\[key\]$|literal\[|constrained-|str$|int$|function-")
    return tuple(part for part in location if not (isinstance(part, str) and types.match(part)))


def _explain(path: Sequence[int | str], problem: Mapping[str, Any]) -> str:
    name = ".".join(map(str, path)) or "the file"
    received = f"Received: {_shown(problem['input'])}."
    if problem["type"] == "extra_forbidden":
        known = tuple(_section(path[:-1]).model_fields)
        close = closest(str(path[-1]), known)
        hint = suggest(str(path[-1]), known)
        return f"`{name}` is not a setting. {received} {hint}" + (
            _paste([*path[:-1], close], problem["input"]) if close else ""
        )
    if problem["type"] == "missing":
        return f"`{name}` is required and was not given." + _paste(path, "...")
    message = str(problem["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    message = message.replace("a valid tuple", "a list")
    if problem["type"] == "value_error" and not message.startswith("must"):  # a whole sentence
        return message if "Received:" in message or "cannot state" in message else f"{message} {received}"
    example = _example(path)
    return f"`{name}` {message}. {received}" + (_paste(path, example) if example is not None else " Correct it.")


def _paste(path: Sequence[object], value: object) -> str:
    """Return a line of YAML that sets a value."""
    for part in reversed(path):
        value = [value] if isinstance(part, int) else {part: value}
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False).strip()
    return f" Write:\n  {text[1:-1]}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def _example(path: Sequence[object]) -> Any:  # noqa: ANN401 - any YAML
    """Return an example of a setting; None if there is none."""
    field = _section(path[:-1]).model_fields.get(str(path[-1])) if path else None
    if field and field.examples:
        return field.examples[0]
    return get_args(field.annotation)[0] if field and get_origin(field.annotation) is Literal else None


def _section(path: Sequence[object]) -> type[BaseModel]:
    """Return the section that a path leads to."""
    section: type[BaseModel] = PlatformSettings
    for part in path:
        field = section.model_fields.get(str(part))
        if field is None:  # a name or number of the user's own
            continue
        kinds = [field.annotation, *get_args(field.annotation)]
        section = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), section)
    return section
