"""Each test asserts something, or calls a helper that does."""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
ASSERTING = ("check_", "assert_")
"""Prefixes of helpers that assert."""


def has_assertion(function: ast.FunctionDef, foreign: set[str]) -> bool:
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in {"pytest.raises", "pytest.warns"}:
                return True
            if called.split(".")[-1].startswith(ASSERTING) and called not in foreign:
                return True
    return False


def without_assertion(code: str) -> list[str]:
    """Return the names of the tests in a module that assert nothing."""
    nodes = list(ast.walk(ast.parse(code)))
    imports = [
        node for node in nodes if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tilepipe")
    ]
    foreign = {alias.asname or alias.name for node in imports for alias in node.names}
    tests = [node for node in nodes if isinstance(node, ast.FunctionDef) and node.name.startswith("test")]
    return [test.name for test in tests if not has_assertion(test, foreign)]


@pytest.mark.parametrize("path", sorted(TESTS.rglob("test_*.py")), ids=lambda path: str(path.relative_to(TESTS)))
def test_each_test_asserts_something(path):
    assert without_assertion(path.read_text(encoding="utf-8")) == []


def test_a_test_without_an_assertion_is_found():
    code = "from tilepipe.x import check_y\ndef test_a():\n    check_y()\ndef test_b():\n    check_x()\n"
    assert without_assertion(code) == ["test_a"]
