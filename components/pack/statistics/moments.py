"""Mean, standard deviation and range per band, accumulated in bounded memory, equal for any division of the tiles."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Moments(ABC):
    """Count, mean, standard deviation and range per band, without nodata pixels."""

    @property
    @abstractmethod
    def mean(self) -> Floats:
        """Mean of each band; 0 without pixels."""

    @property
    @abstractmethod
    def std(self) -> Floats:
        """Population standard deviation of each band; 0 without pixels."""

    @property
    @abstractmethod
    def minimum(self) -> Floats:
        """Smallest value of each band; 0 without pixels."""

    @property
    @abstractmethod
    def maximum(self) -> Floats:
        """Largest value of each band; 0 without pixels."""

    @abstractmethod
    def merged(self, other: "Moments") -> "Moments":
        """Merge with other moments, which must be of the same bands and kind."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Convert to JSON values without loss; `from_json` is the inverse."""

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "Moments":
        """Restore the moments that `to_json` wrote, to the last bit.

        Raises:
            ValueError: it was not written by `to_json`.
        """
        try:
            columns = [value[name] for name in ("counts", "first", "second", "lowest", "highest")]
            if len({len(column) for column in columns}) != 1 or value["kind"] not in {"exact", "running"}:
                raise ValueError("the bands or the kinds differ")
            exact = value["kind"] == "exact"
            return ExactMoments._from_columns(*columns) if exact else RunningMoments._from_columns(*columns)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"Moments must be as `to_json` writes them. Received: {str(value)[:100]}.") from error


@dataclass(frozen=True, slots=True)
class ExactMoments(Moments):
    """Moments of integers as exact sums; the order of merging does not change them."""

    _counts: tuple[int, ...]
    _sums: tuple[int, ...]
    _squares: tuple[int, ...]
    _lowest: tuple[int, ...]
    """Smallest value per band; without pixels, the largest integer. `_highest` is the counterpart."""
    _highest: tuple[int, ...]

    @property
    def mean(self) -> Floats:  # noqa: D102 - the base class says it
        return np.array([total / (count or 1) for count, total in zip(self._counts, self._sums, strict=True)])

    @property
    def std(self) -> Floats:  # noqa: D102
        # Integers are divided with a single rounding, so nothing cancels, however small the deviation.
        parts = zip(self._counts, self._sums, self._squares, strict=True)
        return np.array([math.sqrt((n * squares - total * total) / (n * n or 1)) for n, total, squares in parts])

    @property
    def minimum(self) -> Floats:  # noqa: D102
        return np.array([float(low) if n else 0.0 for n, low in zip(self._counts, self._lowest, strict=True)])

    @property
    def maximum(self) -> Floats:  # noqa: D102
        return np.array([float(high) if n else 0.0 for n, high in zip(self._counts, self._highest, strict=True)])

    def merged(self, other: Moments) -> Moments:  # noqa: D102
        if not isinstance(other, ExactMoments):
            raise ValueError("Moments to merge must be of one kind. Received: whole numbers and floats.")
        return ExactMoments(
            tuple(a + b for a, b in zip(self._counts, other._counts, strict=True)),
            tuple(a + b for a, b in zip(self._sums, other._sums, strict=True)),
            tuple(a + b for a, b in zip(self._squares, other._squares, strict=True)),
            tuple(map(min, self._lowest, other._lowest)),
            tuple(map(max, self._highest, other._highest)),
        )

    def to_json(self) -> dict[str, Any]:  # noqa: D102
        return {
            "kind": "exact",
            "counts": list(self._counts),
            "first": list(self._sums),
            "second": list(self._squares),
            "lowest": list(self._lowest),
            "highest": list(self._highest),
        }

    @classmethod
    def _from_columns(cls, *columns: list[Any]) -> "ExactMoments":
        if not all(isinstance(number, int) for column in columns for number in column):
            raise ValueError("not all are whole numbers")
        return cls(*(tuple(column) for column in columns))


@dataclass(frozen=True, slots=True)
class RunningMoments(Moments):
    """Moments of floats as means and sums of squared deviations in float64; the order of merging matters."""

    _counts: npt.NDArray[np.int64]
    _mean: Floats
    _squares: Floats
    _lowest: Floats
    """Smallest value per band; without pixels, infinity. `_highest` is the counterpart."""
    _highest: Floats

    @property
    def mean(self) -> Floats:  # noqa: D102
        return self._mean

    @property
    def std(self) -> Floats:  # noqa: D102
        return np.sqrt(self._squares / np.maximum(self._counts, 1))

    @property
    def minimum(self) -> Floats:  # noqa: D102
        return np.where(self._counts > 0, self._lowest, 0.0)

    @property
    def maximum(self) -> Floats:  # noqa: D102
        return np.where(self._counts > 0, self._highest, 0.0)

    def merged(self, other: Moments) -> Moments:
        """Merge with other moments; numerically stable, unlike sums of squares.

        Chan, Golub and LeVeque 1979: https://en.wikipedia.org/wiki/Algorithms_for_calculating_variance#Parallel_algorithm
        """
        if not isinstance(other, RunningMoments):
            raise ValueError("Moments to merge must be of one kind. Received: floats and whole numbers.")
        counts = self._counts + other._counts
        share = other._counts / np.maximum(counts, 1)
        step = other._mean - self._mean
        return RunningMoments(
            counts,
            self._mean + step * share,
            self._squares + other._squares + step * step * (self._counts * share),
            np.minimum(self._lowest, other._lowest),
            np.maximum(self._highest, other._highest),
        )

    def to_json(self) -> dict[str, Any]:  # noqa: D102
        return {
            "kind": "running",
            "counts": self._counts.tolist(),
            "first": self._mean.tolist(),
            "second": self._squares.tolist(),
            "lowest": [low if math.isfinite(low) else None for low in self._lowest.tolist()],  # JSON has no infinity
            "highest": [high if math.isfinite(high) else None for high in self._highest.tolist()],
        }

    @classmethod
    def _from_columns(
        cls,
        counts: list[int],
        mean: list[float],
        squares: list[float],
        lowest: list[float | None],
        highest: list[float | None],
    ) -> "RunningMoments":
        lows = [math.inf if low is None else low for low in lowest]
        highs = [-math.inf if high is None else high for high in highest]
        return cls(np.array(counts, np.int64), *(np.array(each, np.float64) for each in (mean, squares, lows, highs)))
