"""YAML whose text stays text for every program that reads it."""

import re
from collections.abc import Iterable
from typing import Any

import yaml


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
