"""YAML whose text stays text for every program that reads it."""

import re
from collections.abc import Iterable
from typing import Any

import yaml


class Loader(yaml.SafeLoader):
    """Loader of values as JSON has them: keys are text as it is written, such as 1 or no, and so are dates.

    It refuses a key that is given twice, of which YAML's would keep the last.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a dictionary of unique keys."""
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.YAMLError(f"{key.value} is given twice, again in line {key.start_mark.line + 1}")
                seen.add(key.value)
                key.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep)


Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda _, node: str(node.value))


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
