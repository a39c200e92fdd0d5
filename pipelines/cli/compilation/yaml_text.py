"""YAML whose text stays text for every program that reads it."""

import re
from collections.abc import Collection, Iterable
from typing import Any, TextIO

import yaml

_TEXT_TAG = "tag:yaml.org,2002:str"


class Loader(yaml.SafeLoader):
    """Loader of values as JSON has them: keys are text as it is written, such as 1 or no, and so are dates.

    So are numbers that only YAML 1.1 reads as such: it takes 010 for 8, 12:30 for 750 and 2026_11 for 202611. A key
    that is given twice is refused; YAML's loader would keep the last.

    Args:
        stream: file or text.
        texts: keys of the outermost mapping whose values are text as it is written. Defaults to none.
    """

    def __init__(self, stream: TextIO | str, texts: Collection[str] = ()) -> None:
        super().__init__(stream)
        self._texts = texts
        self._root: yaml.Node | None = None

    def construct_document(self, node: yaml.Node) -> Any:  # noqa: ANN401 - any JSON
        """Build the values of a document."""
        self._root = node
        return super().construct_document(node)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a dictionary of unique keys."""
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.YAMLError(f"{key.value} is given twice, again in line {key.start_mark.line + 1}")
                seen.add(key.value)
                key.tag = _TEXT_TAG
        if node is self._root:
            self.flatten_mapping(node)
            for key, value in node.value:
                is_text = key.value in self._texts and isinstance(value, yaml.ScalarNode)
                if is_text and value.tag != "tag:yaml.org,2002:null":
                    value.tag = _TEXT_TAG
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.ScalarNode) -> int | float | str:
        """Build a number, or text if people read another one."""
        text, is_float = str(node.value), node.tag.endswith("float")
        number: int | float = self.construct_yaml_float(node) if is_float else self.construct_yaml_int(node)
        is_plain = not re.search("[_:]", text) if is_float else re.fullmatch(r"[-+]?(0|[1-9]\d*)", text)
        return number if is_plain else text


Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda _, node: str(node.value))
for _tag in ("int", "float"):
    Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", Loader.construct_number)


class _Dumper(yaml.SafeDumper):
    """Quotes what other readers than PyYAML take for a number or a boolean.

    KFP's API server reads YAML 1.2 with yaml.v3, and Kubernetes' sigs.k8s.io/yaml reads YAML 1.1 with yaml.v2: 08, 1e3
    and 0o17 are the numbers 8, 1000 and 15 for both, and y and N booleans for the latter.
    """


_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:\.\d+|\d[\d_]*(?:\.[\d_]*)?)(?:[eE][-+]?\d+)?$|[-+]?0[oO][0-7_]+$"),
    list("-+.0123456789"),
)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"[yYnN]$"), list("yYnN"))


def dump_all(documents: Iterable[Any], *, sort_keys: bool) -> str:
    """Write JSON values as YAML for programs other than this one."""
    return yaml.dump_all(documents, Dumper=_Dumper, sort_keys=sort_keys)
