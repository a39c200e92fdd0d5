"""Waiting for other threads and processes: the only polling in tests outside `e2e`."""

import time
from collections.abc import Callable
from typing import TypeVar

import pytest

Value = TypeVar("Value")


def wait_until(condition: Callable[[], Value], seconds: float = 20, pause_seconds: float = 0.01) -> Value:
    """Return the condition's value once it is true; fail the test if it is not true in time."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"the condition was not met within {seconds:g} s")
        time.sleep(pause_seconds)
    return value


def wait_until_unchanged(value: Callable[[], Value], pause_seconds: float = 0.5) -> Value:
    """Return the value once two reads of it, one pause apart, are equal."""
    before = value()
    for _ in range(200):
        time.sleep(pause_seconds)
        if (now := value()) == before:
            return now
        before = now
    pytest.fail(f"the value never stayed the same for {pause_seconds:g} s. Last value: {before}")


def check_stays(condition: Callable[[], object], seconds: float = 0.2) -> None:
    """Fail the test if the condition becomes false within a time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert condition()
        time.sleep(0.01)
