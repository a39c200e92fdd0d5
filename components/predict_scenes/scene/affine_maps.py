"""Affine transforms of grids, written out: affine 3 warns of `*`, and older versions have no `@`."""

from typing import Any

Transform = Any
"""`affine.Affine`, which ships no types to rely on."""


def locate(transform: Transform, column: float, row: float) -> tuple[float, float]:
    """Return the coordinates of a place in a grid, in pixels from its upper left corner."""
    a, b, c, d, e, f = transform[:6]
    return a * column + b * row + c, d * column + e * row + f


def rescale(transform: Transform, across: float, down: float) -> Transform:
    """Return the transform of a grid with pixels that are wider and higher by two factors."""
    a, b, c, d, e, f = transform[:6]
    return type(transform)(a * across, b * down, c, d * across, e * down, f)
