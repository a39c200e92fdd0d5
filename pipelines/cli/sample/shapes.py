"""Shapes of landscapes: parcels, lines, dots and fractal texture, each as an array over the tile.

Lengths are in pixels (10 metres). A coverage is the fraction of a pixel that a shape covers, from 0 to 1: pixels on an
edge are mixed, as in real images.
"""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIZE = 64
"""Pixels along each side of a tile."""

Layer = NDArray[np.float32]
"""One number per pixel, float32, `(64, 64)`."""

Range = tuple[float, float]
"""Smallest and largest value of a uniform distribution."""

_AXIS = np.arange(SIZE, dtype=np.float32) - np.float32((SIZE - 1) / 2)
_ROWS, _COLUMNS = np.meshgrid(_AXIS, _AXIS, indexing="ij")
_REACH = SIZE * 2**-0.5  # distance from center to corner, so that rotated shapes fill the tile


def turned(angle: float) -> tuple[Layer, Layer]:
    """Compute coordinates from the center of the tile along and across a direction (radians), in pixels."""
    along = _COLUMNS * np.float32(np.cos(angle)) + _ROWS * np.float32(np.sin(angle))
    across = _ROWS * np.float32(np.cos(angle)) - _COLUMNS * np.float32(np.sin(angle))
    return along, across


@dataclass(frozen=True)
class Parcels:
    """A tile that is divided into strips, and these into rectangles, such as fields, gardens and plots."""

    ids: NDArray[np.intp]
    """Parcel of each pixel, `(64, 64)`, from 0 to `count` - 1."""
    count: int
    inset: Layer
    """Distance of each pixel from the nearest edge of its parcel, in pixels."""

    def inside(self, margin: float) -> Layer:
        """Compute the coverage of the area farther than `margin` pixels from all edges."""
        return coverage(self.inset - np.float32(margin))


def parcels(rng: np.random.Generator, angle: float, width: Range, length: Range) -> Parcels:
    """Divide the tile into strips, and each strip into parcels.

    Args:
        rng: random generator.
        angle: angle of the strips, in radians.
        width: width of a strip, in pixels.
        length: length of a parcel along its strip, in pixels; equal for all parcels of a strip.
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
    """Compute the fraction of each pixel that a shape covers, from the depth of the pixel's center in the shape."""
    covered: Layer = np.clip(depth + np.float32(0.5), 0, 1)
    return covered


def band(along: Layer, across: Layer, *, width: float, offset: float, bend: float) -> Layer:
    """Compute the coverage of a road: a line of constant width, bent like a parabola by `bend` over half the tile."""
    middle = offset + bend * (along / (SIZE / 2)) ** 2
    return coverage((width / 2 - np.abs(across - middle)).astype(np.float32))


def meander(
    along: Layer, across: Layer, *, width: float, offset: float, amplitude: float, wavelength: float, phase: float
) -> Layer:
    """Compute the depth within a river, a sinusoidal line; positive inside."""
    middle = offset + amplitude * np.sin(2 * np.pi * along / wavelength + phase)
    depth: Layer = (width / 2 - np.abs(across - middle)).astype(np.float32)
    return depth


def dots(rng: np.random.Generator, count: int, radius: Range) -> Layer:
    """Compute the coverage of small squares at random positions, which look like tree crowns at 10 metres per pixel."""
    middles = rng.uniform(-SIZE / 2, SIZE / 2, (2, count, 1)).astype(np.float32)
    radii = rng.uniform(*radius, (count, 1)).astype(np.float32)
    rows, columns = (coverage(radii - np.abs(_AXIS - middle)) for middle in middles)
    covered: Layer = np.minimum(rows.T @ columns, 1)
    return covered


def fractal(rng: np.random.Generator, exponent: float) -> Layer:
    """Draw correlated noise with mean 0 and standard deviation 1, whose power falls with frequency to the `exponent`.

    Filtering white noise in the frequency domain: https://paulbourke.net/fractals/noise/.

    Args:
        rng: random generator of the white noise.
        exponent: 0 for white noise, 2 for cloud-like, 3 for smooth hills.

    Returns:
        The noise, periodic at the edges of the tile.
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
