"""Shapes that landscapes are made of: parcels, lines, dots and fractal texture, each as an array over the tile.

Lengths are in pixels (10 metres). A coverage says how much of a pixel a shape covers, from 0 to 1: pixels on an edge
are mixed, as they are in real images.
"""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIZE = 64
"""Pixels along each side of a tile."""

Layer = NDArray[np.float32]
"""One number a pixel, float32, `(64, 64)`."""

Range = tuple[float, float]
"""The smallest and the largest of what is drawn evenly."""

_AXIS = np.arange(SIZE, dtype=np.float32) - np.float32((SIZE - 1) / 2)
_ROWS, _COLUMNS = np.meshgrid(_AXIS, _AXIS, indexing="ij")
_REACH = SIZE * 2**-0.5  # from the middle to a corner, so that rotated shapes fill the tile


def turned(angle: float) -> tuple[Layer, Layer]:
    """Coordinates along and across a direction, from the middle of the tile.

    Args:
        angle: of the direction, in radians.

    Returns:
        The coordinates along the direction and those across it.
    """
    along = _COLUMNS * np.float32(np.cos(angle)) + _ROWS * np.float32(np.sin(angle))
    across = _ROWS * np.float32(np.cos(angle)) - _COLUMNS * np.float32(np.sin(angle))
    return along, across


@dataclass(frozen=True)
class Parcels:
    """A tile cut into rectangles that lie in strips, as fields, gardens and plots do."""

    ids: NDArray[np.intp]
    """Which parcel a pixel belongs to, `(64, 64)`, from 0 to `count` - 1."""
    count: int
    inset: Layer
    """How far a pixel is from its parcel's nearest edge."""

    def inside(self, margin: float) -> Layer:
        """Coverage of what lies further than `margin` from all edges."""
        return coverage(self.inset - np.float32(margin))


def parcels(rng: np.random.Generator, angle: float, width: Range, length: Range) -> Parcels:
    """Cut the tile into strips, and each strip into parcels.

    Args:
        rng: where the sizes come from.
        angle: of the strips, in radians.
        width: of a strip.
        length: of a parcel along its strip; all parcels of a strip have the same.

    Returns:
        The parcels.
    """
    along, across = turned(angle)
    strips = int(2 * _REACH / width[0]) + 2
    edges = np.cumsum(rng.uniform(*width, strips)).astype(np.float32) - np.float32(_REACH + width[0])
    strip = np.minimum(np.searchsorted(edges, across), strips - 1)
    lengths = rng.uniform(*length, strips).astype(np.float32)[strip]
    piece = (along + np.float32(_REACH)) / lengths + rng.uniform(0, 1, strips).astype(np.float32)[strip]
    number = np.floor(piece)
    lower = np.concatenate(([-np.inf], edges[:-1])).astype(np.float32)[strip]
    fraction = piece - number
    ends = np.minimum(fraction, 1 - fraction) * lengths
    inset = np.minimum(np.minimum(across - lower, edges[strip] - across), ends)
    pieces = int(2 * _REACH / length[0]) + 2
    ids = strip * pieces + np.minimum(number.astype(np.intp), pieces - 1)
    return Parcels(ids, strips * pieces, inset)


def coverage(depth: Layer) -> Layer:
    """How much of each pixel a shape covers, from how deep the pixel's middle lies within the shape."""
    covered: Layer = np.clip(depth + np.float32(0.5), 0, 1)
    return covered


def band(along: Layer, across: Layer, *, width: float, offset: float, bend: float) -> Layer:
    """Coverage of a road: a line of constant width, bent like a parabola by `bend` over half the tile."""
    middle = offset + bend * (along / (SIZE / 2)) ** 2
    return coverage((width / 2 - np.abs(across - middle)).astype(np.float32))


def meander(
    along: Layer, across: Layer, *, width: float, offset: float, amplitude: float, wavelength: float, phase: float
) -> Layer:
    """Depth within a river: a line that swings to both sides, positive inside."""
    middle = offset + amplitude * np.sin(2 * np.pi * along / wavelength + phase)
    depth: Layer = (width / 2 - np.abs(across - middle)).astype(np.float32)
    return depth


def dots(rng: np.random.Generator, count: int, radius: Range) -> Layer:
    """Coverage of small square things strewn evenly over the tile: the crowns of trees, at 10 metres a pixel."""
    middles = rng.uniform(-SIZE / 2, SIZE / 2, (2, count, 1)).astype(np.float32)
    radii = rng.uniform(*radius, (count, 1)).astype(np.float32)
    rows, columns = (coverage(radii - np.abs(_AXIS - middle)) for middle in middles)
    covered: Layer = np.minimum(rows.T @ columns, 1)
    return covered


def fractal(rng: np.random.Generator, exponent: float) -> Layer:
    """Correlated noise with mean 0 and standard deviation 1, whose power falls with frequency to the `exponent`.

    Filtering white noise in the frequency domain: https://paulbourke.net/fractals/noise/.

    Args:
        rng: where the white noise comes from.
        exponent: 0 is white, 2 is like clouds, 3 is smooth hills.

    Returns:
        The noise; it continues over the tile's edges as on a torus.
    """
    white = rng.standard_normal((SIZE, SIZE), dtype=np.float32)
    noise = np.fft.irfft2(np.fft.rfft2(white) * _amplitudes(exponent), s=(SIZE, SIZE))
    scaled: Layer = (noise / noise.std()).astype(np.float32)
    return scaled


@functools.cache
def _amplitudes(exponent: float) -> NDArray[np.float64]:
    frequency = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE)[None, :])
    frequency[0, 0] = np.inf
    amplitudes: NDArray[np.float64] = frequency ** (-exponent / 2)
    return amplitudes
