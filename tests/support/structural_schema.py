"""Validation by the structural schema of a CustomResourceDefinition."""

from typing import Any


def problems(value: Any, schema: dict[str, Any], where: str = "") -> list[str]:
    """List fields that a structural schema lacks, and values of other types."""
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool, "number": (int, float)}
    if schema.get("x-kubernetes-int-or-string"):
        return [] if isinstance(value, int | str) else [f"{where}: neither a number nor text"]
    if not isinstance(value, kinds[schema["type"]]):
        return [f"{where}: {schema['type']} is wanted, got {value!r}"]
    found = [f"{where}: {name} is required" for name in schema.get("required", []) if name not in value]
    if isinstance(value, list):
        return found + [line for one in value for line in problems(one, schema["items"], f"{where}[]")]
    if isinstance(value, dict) and where != ".metadata":
        for name, one in value.items():
            known = schema.get("properties", {}).get(name) or schema.get("additionalProperties")
            found += problems(one, known, f"{where}.{name}") if known else [f"{where}: there is no field {name}"]
    return found
