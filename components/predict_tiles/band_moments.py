"""Mean and standard deviation of the digital numbers of each band, over tiles that are read one by one."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tilepipe.components.shared.errors import ArtifactError
from tilepipe.components.shared.storage.atomic import write_whole

_Numbers = npt.NDArray[np.float64]


@dataclass
class BandMoments:
    """Number of valid pixels, sum and sum of squares of each band.

    Digital numbers are shifted by the training mean before they are squared, so that little precision is lost.
    """

    shift: _Numbers
    """Number subtracted from those of each band, float64, `(bands,)`."""
    count: _Numbers
    total: _Numbers
    squares: _Numbers

    @classmethod
    def empty(cls, shift: Any) -> Self:  # noqa: ANN401 - any sequence of numbers
        """Create moments of no pixel."""
        numbers = np.asarray(shift, np.float64)
        return cls(numbers, np.zeros_like(numbers), np.zeros_like(numbers), np.zeros_like(numbers))

    def add(self, image: npt.NDArray[Any], mask: npt.NDArray[np.bool_] | None) -> None:
        """Add a tile.

        Args:
            image: Digital numbers, `(height, width, bands)`.
            mask: Valid pixels, in the shape of the image; None if all are valid. NaN and infinity are not counted.
        """
        # NumPy is fast along long rows: those of the image, not the bands of a pixel.
        width, bands = image.shape[1:]
        numbers = (image.reshape(-1, width * bands) - np.tile(self.shift, width)).reshape(-1, bands)
        valid = np.isfinite(numbers) if image.dtype.kind == "f" else None
        if mask is not None:
            shaped = np.broadcast_to(mask, image.shape).reshape(numbers.shape)
            valid = shaped if valid is None else valid & shaped
        if valid is not None:
            numbers = np.where(valid, numbers, 0.0)
        self.count += len(numbers) if valid is None else valid.sum(axis=0)
        # Products of matrices are several times as fast as sums along the long axis of such an array.
        self.total += np.ones(len(numbers)) @ numbers
        self.squares += np.einsum("ij,ij->j", numbers, numbers)

    def merge(self, other: "BandMoments") -> None:
        """Add the tiles of another part with the same shift."""
        self.count += other.count
        self.total += other.total
        self.squares += other.squares

    def means(self) -> list[float]:
        """Return the mean of each band; NaN for a band without a valid pixel."""
        return [
            float(shift + total / count) if count else math.nan
            for shift, total, count in zip(self.shift, self.total, self.count, strict=True)
        ]

    def deviations(self) -> list[float]:
        """Return the standard deviation of each band; NaN for a band without a valid pixel."""
        return [
            math.sqrt(max(0.0, squares / count - (total / count) ** 2)) if count else math.nan
            for total, squares, count in zip(self.total, self.squares, self.count, strict=True)
        ]

    def write(self, path: Path) -> None:
        """Write the moments as JSON, completely or not at all."""
        found = {name: value.tolist() for name, value in vars(self).items()}
        write_whole(path, json.dumps(found, allow_nan=False) + "\n")


def read_moments(path: Path) -> BandMoments:
    """Read the moments of one part.

    Raises:
        ArtifactError: The file is damaged.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        names = ("shift", "count", "total", "squares")
        return BandMoments(*(np.asarray(found[name], np.float64) for name in names))
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ArtifactError(
            f"The statistics of a part must be JSON of `predict_tiles`. Received: {path.name}, which reads as: "
            f"{error!r}. Run the prediction again."
        ) from error
