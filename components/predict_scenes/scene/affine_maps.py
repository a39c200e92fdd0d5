"""Affine transforms of grids, written out: affine 3 warns of `*`, and older versions have no `@`."""

from typing import Any

Transform = Any
"""`affine.Affine`, which ships no types to rely on."""


def locate(transform: Transform, column: Any, row: Any) -> tuple[Any, Any]:  # noqa: ANN401 - numbers or arrays
    """Return the coordinates of places in a grid, which are given in pixels from its upper left corner."""
    a, b, c, d, e, f = transform[:6]
    return a * column + b * row + c, d * column + e * row + f


def rescale(transform: Transform, across: float, down: float) -> Transform:
    """Return the transform of a grid with pixels that are wider and higher by two factors."""
    a, b, c, d, e, f = transform[:6]
    return type(transform)(a * across, b * down, c, d * across, e * down, f)
