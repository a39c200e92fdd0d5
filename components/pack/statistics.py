"""Mean, spread and range of each band, tile by tile, in bounded memory."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """Count, mean, sum of squared deviations and range of each band."""

    count: int
    mean: Floats
    squares: Floats
    minimum: Floats
    maximum: Floats

    @property
    def std(self) -> Floats:
        """Standard deviation of the population."""
        return np.sqrt(self.squares / self.count)

    def merged(self, other: "Moments") -> "Moments":
        """The moments of both together; stable where sums of squares are not, and the same in the same order.

        Chan, Golub and LeVeque 1979: https://en.wikipedia.org/wiki/Algorithms_for_calculating_variance#Parallel_algorithm
        """
        count = self.count + other.count
        step = other.mean - self.mean
        return Moments(
            count,
            self.mean + step * (other.count / count),
            self.squares + other.squares + step * step * (self.count * other.count / count),
            np.minimum(self.minimum, other.minimum),
            np.maximum(self.maximum, other.maximum),
        )


def moments(image: npt.NDArray[np.generic]) -> Moments:
    """The moments of one tile.

    Args:
        image: `(height, width, bands)`.

    Returns:
        Moments with `(bands,)` arrays of float64.
    """
    # Bands first: reductions over short last axes cost several times as much.
    pixels = np.ascontiguousarray(image.reshape(-1, image.shape[-1]).T)
    minimum, maximum = pixels.min(axis=1).astype(np.float64), pixels.max(axis=1).astype(np.float64)
    deviations = pixels.astype(np.float64)
    mean = deviations.mean(axis=1)
    deviations -= mean[:, None]
    squares = np.einsum("ij,ij->i", deviations, deviations)
    return Moments(pixels.shape[1], mean, squares, minimum, maximum)
