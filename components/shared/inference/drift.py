"""Drift: how far classes, confidence and pixels of the predicted tiles are from those of the training data.

Each kind has one fixed method, whatever the number of tiles. A test of significance would call any difference drift
once there are enough tiles, so distances are reported instead of p-values.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tilepipe.components.shared.contracts.manifest import BandStatistics
from tilepipe.components.shared.errors import DriftError
from tilepipe.components.shared.inference.bundle_model import BundleModel
from tilepipe.components.shared.inference.prediction_plan import DriftKind

Confidences = npt.NDArray[np.float32]

METHODS: dict[DriftKind, str] = {
    "classes": "population stability index of the predicted classes",
    "confidence": "Kolmogorov-Smirnov distance of the confidences, from 0 to 1",
    "bands": "2-Wasserstein distance of the digital numbers, as normal distributions, in training standard deviations",
}
_SMOOTHING = 0.5
"""Tiles added to each class, so that a class without tiles gives a finite index (Jeffreys' prior)."""

_DECIMALS = 4
"""Decimals of confidences that are compared."""


@dataclass(frozen=True)
class ClassShare:
    """Share of one class among all tiles."""

    name: str
    expected: float | None
    """Share in the reference; None without a reference."""
    found: float


@dataclass(frozen=True)
class BandDrift:
    """Digital numbers of one band."""

    band: str
    expected_mean: float
    expected_std: float
    mean: float | None
    """None for a band without a valid pixel."""
    std: float | None
    distance: float | None


@dataclass(frozen=True)
class Drift:
    """Result of the comparison; every number is finite."""

    reference: str
    """Description of the data that classes and confidence are compared with; empty for none."""
    classes: tuple[ClassShare, ...]
    bands: tuple[BandDrift, ...]
    values: dict[DriftKind, float]
    """Kind -> distance; kinds that cannot be compared are absent. Of the bands, the largest."""
    new_classes: tuple[str, ...] = ()
    """Classes that are predicted now and that the reference does not have."""
    dropped: int = 0
    """Number of confidences of the reference that are not numbers."""
    mean_confidence: float | None = None

    @property
    def blank_bands(self) -> tuple[str, ...]:
        """Bands of which no tile has a valid pixel, unlike the training tiles."""
        return tuple(one.band for one in self.bands if one.mean is None and (one.expected_mean or one.expected_std))

    def text(self) -> str:
        """Return the distances in one line, such as `classes 0.0312, bands 1.92`; empty if there are none."""
        return ", ".join(f"{kind} {value:.3g}" for kind, value in self.values.items())

    def scalars(self) -> dict[str, float]:
        """Figures by name, for MLflow and Kubeflow."""
        found = {f"drift_{kind}": value for kind, value in self.values.items()}
        return found | ({} if self.mean_confidence is None else {"mean_confidence": self.mean_confidence})

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON."""
        return {
            "reference": self.reference,
            "methods": {kind: METHODS[kind] for kind in self.values},
            "values": self.values,
            "classes": [vars(one) for one in self.classes],
            "new_classes": list(self.new_classes),
            "bands": [vars(one) for one in self.bands],
            "mean_confidence": self.mean_confidence,
            "dropped_confidences": self.dropped,
        }


@dataclass(frozen=True)
class Reference:
    """Predictions on tiles like those of the training."""

    description: str
    counts: Mapping[str, int]
    """Class -> number of tiles that were predicted as it."""
    confidences: Confidences | None = None
    """Confidence of each prediction, `(tiles,)`; None if it is not known."""


def evaluation_reference(model: BundleModel) -> Reference | None:
    """Count the predicted classes of a model's evaluation: the columns of the confusion matrix in its bundle.

    Returns:
        The reference, without confidences; None if the bundle has no such matrix.
    """
    found: Any = model.files.get("confusion_matrix.json")
    try:
        counts = np.asarray(found["rows"], np.int64).sum(axis=0).tolist()
        pairs = dict(zip(map(str, found["class_names"]), counts, strict=True))
        return Reference(f"the predictions of the model's evaluation ({found['split']} split)", pairs)
    except (TypeError, KeyError, ValueError):
        return None


def compare(
    counts: Mapping[str, int],
    confidences: Confidences,
    bands: Sequence[BandDrift],
    reference: Reference | None,
) -> Drift:
    """Compare predictions with a reference.

    Args:
        counts: Class -> number of predicted tiles, for every class of the model.
        confidences: Confidence of each tile, float32, `(tiles,)`.
        bands: Comparison of each band.
        reference: Predictions to compare with; None if there are none.

    Returns:
        The drift. Without tiles, nothing is compared.
    """
    tiles = sum(counts.values())
    if not tiles:
        return Drift(reference.description if reference else "", (), tuple(bands), {})
    values: dict[DriftKind, float] = {}
    expected: dict[str, float] = {}
    new: tuple[str, ...] = ()
    dropped = 0
    if reference is not None and (total := sum(reference.counts.values())):
        names = [*counts, *sorted(set(reference.counts) - set(counts))]
        values["classes"] = stability_index(
            [reference.counts.get(name, 0) for name in names], [counts.get(name, 0) for name in names]
        )
        expected = {name: reference.counts.get(name, 0) / total for name in names}
        new = tuple(name for name, count in counts.items() if count and not reference.counts.get(name))
    if reference is not None and reference.confidences is not None:
        usable = reference.confidences[np.isfinite(reference.confidences)]
        dropped = len(reference.confidences) - len(usable)
        if len(usable):
            values["confidence"] = kolmogorov_smirnov(usable, confidences)
    distances = [one.distance for one in bands if one.distance is not None]
    if distances:
        values["bands"] = max(distances)
    shares = {name: counts.get(name, 0) / tiles for name in (expected or counts)}
    return Drift(
        reference=reference.description if reference else "",
        classes=tuple(ClassShare(name, expected.get(name), share) for name, share in shares.items()),
        bands=tuple(bands),
        values=values,
        new_classes=new,
        dropped=dropped,
        mean_confidence=float(np.mean(confidences, dtype=np.float64)),
    )


def stability_index(expected: Sequence[int], found: Sequence[int]) -> float:
    """Compute the population stability index of two counts of the same classes.

    It is the sum of the relative entropies in both directions; half a tile is added to each class.

    Returns:
        0 for equal shares; below 0.1 is usually called stable, above 0.25 a shift.
    """
    from scipy.stats import entropy

    one, other = (np.asarray(counts, np.float64) + _SMOOTHING for counts in (expected, found))
    return float(entropy(one, other) + entropy(other, one))


def kolmogorov_smirnov(one: Confidences, other: Confidences) -> float:
    """Return the largest difference between two empirical distributions, from 0 to 1; neither may hold NaN.

    Confidences are rounded to 4 decimals: the distance depends on their order alone, and those of a sure model differ
    by less than its exported form may differ from it.
    """
    from scipy.stats import ks_2samp

    rounded = (np.round(np.asarray(values, np.float64), _DECIMALS) for values in (one, other))
    return float(ks_2samp(*rounded, method="asymp").statistic)


def compare_bands(
    training: Sequence[BandStatistics], means: Sequence[float], deviations: Sequence[float]
) -> tuple[BandDrift, ...]:
    """Compare the digital numbers of each band with those of the training tiles.

    Args:
        training: Statistics of the training split, in band order.
        means: Means of the predicted tiles; NaN for a band without a valid pixel.
        deviations: Standard deviations, likewise.

    Returns:
        One comparison per band.
    """
    return tuple(
        _compare_band(one, mean, deviation) for one, mean, deviation in zip(training, means, deviations, strict=True)
    )


def _compare_band(training: BandStatistics, mean: float, deviation: float) -> BandDrift:
    if not (math.isfinite(mean) and math.isfinite(deviation)):
        return BandDrift(training.band, training.mean, training.std, None, None, None)
    # https://en.wikipedia.org/wiki/Wasserstein_metric#Normal_distributions; a constant band is measured by its mean
    scale = training.std or abs(training.mean) or 1.0
    distance = math.hypot(mean - training.mean, deviation - training.std) / scale
    return BandDrift(training.band, training.mean, training.std, mean, deviation, distance)


def check_comparable(
    kinds: Collection[DriftKind], limits: Mapping[DriftKind, float], *, parameter: str = "predict_options"
) -> None:
    """Check that each limit is of a distance that can be computed; no drift would ever exceed another one.

    Raises:
        DriftError: There is nothing to compare with for a limit.
    """
    if missing := [kind for kind in limits if kind not in kinds]:
        remedy = "Give predictions as drift_reference, or leave" if parameter == "predict_options" else "Leave"
        raise DriftError(
            "A limit in max_drift must be of a drift that can be measured. Received: a limit for "
            f"{' and '.join(missing)}, without anything to compare with. {remedy} the limit out of {parameter}."
        )


def check_drift(drift: Drift, limits: Mapping[DriftKind, float], *, parameter: str = "predict_options") -> None:
    """Check that no kind of drift exceeds its limit.

    Raises:
        DriftError: A distance is larger, or was not measured although there are tiles.
    """
    beyond = {kind: value for kind, value in drift.values.items() if value > limits.get(kind, math.inf)}
    if beyond:
        said = "; ".join(f"{kind} {value:.3g} (limit {limits[kind]:g})" for kind, value in beyond.items())
        raise DriftError(
            f"The predictions must drift no further from the training data than max_drift allows. Received: {said}. "
            "Compare them with those of the training, train again with newer ones, or raise the limits in "
            f"{parameter}."
        )
    if drift.classes:  # else there are no tiles
        check_comparable(drift.values, limits, parameter=parameter)
