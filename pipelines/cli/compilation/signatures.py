"""The parameters in the source of components and pipelines, written from the configurations of the steps.

KFP reads a component's parameters from the source of its function, so they have to be written out there. The field of
the step's configuration defines type, default and description; `make pipelines` copies them into the signature and the
docstring of the component, and of each pipeline that passes the parameter on. Artifacts, and parameters of a pipeline
that no single field describes, are written by hand and not changed.
"""

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, get_origin

from pydantic.fields import FieldInfo

from tilepipe import components
from tilepipe.components.shared.runtime.config import StepConfig
from tilepipe.pipelines.cli.compilation import compiled_pipeline

_COMPONENTS = Path(components.__file__).resolve().parent  # an editable install links here
_WIRING = "train_classifier"
_LOOP_ITEMS = frozenset({"part"})
"""KFP passes the items of a loop as text, and refuses text for a parameter declared as a number."""
_LINE_LENGTH = 120


@dataclass(frozen=True)
class Argument:
    """A parameter of a function, as declared in its source."""

    name: str
    annotation: str
    default: str
    """Python source; empty for a required parameter."""
    description: str

    @property
    def line(self) -> str:
        """The parameter's line in a signature."""
        return f"    {self.name}: {self.annotation}{f' = {self.default}' if self.default else ''},"


@dataclass(frozen=True)
class _Field:
    config: type[StepConfig]
    name: str
    names: Mapping[str, str]
    """Field of the configuration -> name that the function's users know it by."""

    def argument(self, name: str) -> Argument:
        field = self.config.model_fields[self.name]
        text = re.sub(r"`(\w+)", lambda match: self.names.get(match[1], match[1]), str(field.description))
        annotation = "str" if self.name in _LOOP_ITEMS else _kfp_type(field)
        default = "" if field.is_required() else _source(field, annotation)
        return Argument(name, annotation, default, text.replace("`", "").rstrip(".") + ".")


def sources() -> Iterator[tuple[Path, str]]:
    """Yield each file with generated parameters, and the text that it should hold."""
    for path in sorted(_COMPONENTS.glob("*/component.py")):
        if compiled_pipeline.step_config(path.parent.name):
            configs = vars(import_module(f"{components.__name__}.{path.parent.name}.config"))
            yield path, component_source(path.read_text(encoding="utf-8"), configs)
    path = compiled_pipeline.committed(_WIRING).with_name("pipeline.py")
    text = pipeline_source(path.read_text(encoding="utf-8"))
    yield path, text
    known = {argument.name: argument for argument in _arguments(text, _function(text, _WIRING))}
    for name in compiled_pipeline.names():
        path = compiled_pipeline.committed(name).with_name("pipeline.py")
        small = path.read_text(encoding="utf-8")
        own = _arguments(small, _function(small, name))
        wired = {key: fields[0].argument(key) for key, fields in _wiring(small).items() if key not in known}
        if name != _WIRING and own and {argument.name for argument in own} <= known.keys() | wired.keys():
            both = known | wired
            taken = [Argument(a.name, both[a.name].annotation, a.default, both[a.name].description) for a in own]
            yield path, _with_arguments(small, name, taken)


def component_source(text: str, configs: Mapping[str, type[StepConfig]]) -> str:
    """Write a configuration's fields into each function of a `component.py` that calls `from_arguments(locals())`."""
    for function in _functions(text):
        found = re.search(r"(\w+)\.from_arguments\(locals\(\)\)", str(ast.get_source_segment(text, function)))
        if not found:
            continue
        config = configs[found[1]]
        own = [argument for argument in _arguments(text, function) if argument.name not in config.model_fields]
        fields = [_Field(config, name, {}).argument(name) for name in config.model_fields]
        ordered = sorted([*own, *fields], key=lambda argument: bool(argument.default))
        text = _with_arguments(text, function.name, ordered)
    return text


def pipeline_source(text: str) -> str:
    """Write the parameters that a pipeline's `wire` passes to the steps into its signature and `PipelineArguments`.

    Returns:
        The source, with its parameters sorted by name after the required ones. A parameter that sets several fields
        keeps its description.
    """
    function = _function(text, _WIRING)
    current = {argument.name: argument for argument in _arguments(text, function)}
    arguments = {name: current[name] for name in _given(text) if name in current}
    for name, fields in _wiring(text).items():
        generated = fields[0].argument(name)
        hand_written = len(fields) > 1 and name in current
        description = current[name].description if hand_written else generated.description
        arguments[name] = Argument(name, generated.annotation, generated.default, description)
    ordered = sorted(arguments.values(), key=lambda argument: (bool(argument.default), argument.name))
    text = _with_arguments(text, _WIRING, ordered)
    (block,) = (node for node in ast.parse(text).body if getattr(node, "name", "") == "PipelineArguments")
    assert isinstance(block, ast.ClassDef)  # noqa: S101 - narrows the type
    first, last = block.body[1].lineno, block.end_lineno
    fields_text = "\n".join(f"    {argument.name}: {argument.annotation}" for argument in ordered)
    return _replaced(text, first, last or first, fields_text)


def write() -> list[Path]:
    """Bring all sources up to date, and return the files that changed."""
    changed = []
    for path, text in sources():
        if path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            changed.append(path)
    return changed


def _wiring(text: str) -> dict[str, list[_Field]]:
    """Map each parameter that `wire` passes to components to the fields that it sets."""
    tree = ast.parse(text)
    steps = {
        alias.name: str(node.module).split(".")[-2]
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and str(node.module).endswith(".component")
        for alias in node.names
    }
    found: dict[str, list[_Field]] = {}
    for call in ast.walk(tree):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in steps):
            continue
        config = compiled_pipeline.step_config(steps[call.func.id])
        passed = {str(keyword.arg): name for keyword in call.keywords if (name := _given_name(keyword.value))}
        for name, parameter in passed.items():
            fields = found.setdefault(parameter, [])
            if config and name in config.model_fields and (config, name) not in [(f.config, f.name) for f in fields]:
                fields.append(_Field(config, name, passed))
    return {parameter: fields for parameter, fields in found.items() if fields}


def _given(text: str) -> list[str]:
    """List the parameters that the wiring reads."""
    return [name for node in ast.walk(ast.parse(text)) if (name := _given_name(node))]


def _given_name(node: ast.AST) -> str:
    """Return `x` for the expression `given.x`; empty for any other."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "given":
        return node.attr
    return ""


def _functions(text: str) -> list[ast.FunctionDef]:
    return [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]


def _function(text: str, name: str) -> ast.FunctionDef:
    return next(function for function in _functions(text) if function.name == name)


def _arguments(text: str, function: ast.FunctionDef) -> list[Argument]:
    """Read a function's parameters, with their descriptions from the docstring."""
    described = _described(ast.get_docstring(function) or "")
    names = function.args.args
    defaults: list[ast.expr | None] = [None] * (len(names) - len(function.args.defaults))
    return [
        Argument(
            name.arg,
            ast.get_source_segment(text, name.annotation) or "" if name.annotation else "",
            ast.get_source_segment(text, default) or "" if default else "",
            described.get(name.arg, ""),
        )
        for name, default in zip(names, [*defaults, *function.args.defaults], strict=True)
    ]


def _described(docstring: str) -> dict[str, str]:
    """Read the descriptions in the `Args` section of a docstring."""
    _, _, section = docstring.partition("Args:\n")
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", section.partition("\n\n")[0], re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


def _with_arguments(text: str, name: str, arguments: Iterable[Argument]) -> str:
    """Replace a function's parameters, and the `Args` section of its docstring."""
    arguments = list(arguments)
    function = _function(text, name)
    docstring, body = str(ast.get_docstring(function)), function.body[0]
    before, _, rest = docstring.partition("Args:\n")
    _, gap, after = rest.partition("\n\n")
    entries = "\n".join(
        textwrap.fill(
            f"{argument.name}: {argument.description}",
            _LINE_LENGTH - 4,
            initial_indent=" " * 4,
            subsequent_indent=" " * 8,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for argument in arguments
    )
    documented = f'"""{before}Args:\n{entries}{gap}{after.rstrip()}\n"""'
    text = _replaced(text, body.lineno, body.end_lineno or body.lineno, textwrap.indent(documented, " " * 4))
    lines = text.splitlines()
    header = "\n".join(lines[function.lineno - 1 : body.lineno - 1])
    closing = header[header.rindex(") ->") :]
    signature = "\n".join([f"def {name}(", *(argument.line for argument in arguments), closing])
    return _replaced(text, function.lineno, body.lineno - 1, signature)


def _replaced(text: str, first: int, last: int, new: str) -> str:
    lines = text.splitlines()
    return "\n".join([*lines[: first - 1], new, *lines[last:]]) + "\n"


def _kfp_type(field: FieldInfo) -> str:
    kind = get_origin(field.annotation) or field.annotation
    if kind in (list, tuple):
        return "list"
    if inspect.isclass(kind) and issubclass(kind, (StepConfig, dict)):
        return "dict"
    return kind.__name__ if kind in (bool, int, float) else "str"


def _source(field: FieldInfo, annotation: str) -> str:
    default: Any = field.get_default(call_default_factory=True)
    if isinstance(default, StepConfig):
        default = default.model_dump(exclude_unset=True)
    plain = {"bool": bool, "float": float, "str": str, "list": list}.get(annotation, lambda value: value)(default)
    return repr(plain) if isinstance(plain, bool) else json.dumps(plain)


if __name__ == "__main__":
    for changed_path in write():
        print(changed_path)  # noqa: T201 - the answer of a command
