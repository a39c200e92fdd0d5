"""Assertions about the checks of the product."""

from collections.abc import Callable

import pytest

from tilepipe.components.shared.errors import TilepipeError


def assert_accepted(check: Callable[..., object], *arguments: object) -> None:
    """Fail the test if a check refuses its arguments."""
    try:
        check(*arguments)
    except TilepipeError as error:
        pytest.fail(f"{check.__name__} refused what it must accept: {error}")
