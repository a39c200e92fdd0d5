"""Kubernetes' own schema, from its Python client, which is generated from the API's OpenAPI description."""

import re
from typing import Any

from kubernetes import client

Resource = dict[str, Any]

CUSTOM = {"AuthorizationPolicy"}
"""Kinds that are not part of Kubernetes; test_cluster.py checks them with a real API server."""

_SCALARS: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "bool": (bool,), "float": (int, float)}


def problems(resource: Resource) -> list[str]:
    """List what Kubernetes would refuse in a resource: unknown fields, wrong types, missing values."""
    version = resource["apiVersion"].rpartition("/")[2]
    model = getattr(client, version.capitalize() + resource["kind"], None)
    if model is None:
        return [f"Kubernetes has no {resource['kind']} of {resource['apiVersion']}"]
    return _check(resource, model.__name__, resource["kind"])


def _check(value: Any, declared: str, where: str) -> list[str]:
    if matched := re.fullmatch(r"list\[(.+)\]", declared):
        if not isinstance(value, list):
            return [f"{where}: a list is wanted"]
        return [line for i, item in enumerate(value) for line in _check(item, matched[1], f"{where}[{i}]")]
    if matched := re.fullmatch(r"dict\(str, (.+)\)", declared):
        if not isinstance(value, dict):
            return [f"{where}: a map is wanted"]
        return [line for key, item in value.items() for line in _check(item, matched[1], f"{where}.{key}")]
    if declared in _SCALARS:
        # A bool is an int to Python, and not to Kubernetes.
        fits = isinstance(value, _SCALARS[declared]) and (declared == "bool" or not isinstance(value, bool))
        return [] if fits else [f"{where}: {declared} is wanted, got {value!r}"]
    if declared in {"object", "datetime"}:
        return []
    return _check_model(value, getattr(client, declared), where)


def _check_model(value: Any, model: Any, where: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where}: a map is wanted"]
    names = {key: name for name, key in model.attribute_map.items()}
    found = [f"{where}: there is no field {key!r}" for key in value if key not in names]
    given = {names[key]: item for key, item in value.items() if key in names}
    for name, item in given.items():
        found += _check(item, model.openapi_types[name], f"{where}.{model.attribute_map[name]}")
    try:
        model(**given)  # the client checks required fields
    except ValueError as error:
        found.append(f"{where}: {error}")
    return found
