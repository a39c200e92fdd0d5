"""Share of the variation of the metric that each parameter of a sweep explains by itself."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tilepipe.components.select.ranked_table import parameter_names, value_text
from tilepipe.components.shared.contracts.candidates import Outcome
from tilepipe.components.shared.contracts.history import lower_is_better

_FEWEST = 4
"""Number of finished candidates below which no effects are computed."""


@dataclass(frozen=True)
class ValueFigures:
    """Figures of the candidates with one value of a parameter."""

    value: str
    candidates: int
    mean: float
    best: float


@dataclass(frozen=True)
class Effect:
    """Effect of one parameter."""

    name: str
    share: float
    """Share of the variation of the metric that the parameter explains, from 0 to 1; NaN if it cannot be computed."""
    values: tuple[ValueFigures, ...]
    """In the order of the search space; empty for numbers that rarely repeat."""


def effects(outcomes: Sequence[Outcome]) -> list[Effect]:
    """Compute the effect of each parameter, the largest first.

    For values that repeat, the share is that of the variance between their means, adjusted for the number of values
    (epsilon squared). For numbers that rarely repeat, it is the adjusted square of Spearman's rank correlation.
    Interactions of parameters are not included.

    Args:
        outcomes: outcomes in any order; only finished ones with a metric count.

    Returns:
        One effect per parameter with at least two values; none for fewer than four candidates.
    """
    measured = [one for one in outcomes if one.status == "finished" and not math.isnan(one.value)]
    if len(measured) < _FEWEST:
        return []
    measured.sort(key=lambda one: one.index)
    found = []
    for name in parameter_names(measured):
        texts = [value_text(one, name) for one in measured]
        if len(set(texts)) > 1:
            found.append(_effect(name, measured, texts))
    return sorted(found, key=lambda effect: (math.isnan(effect.share), -effect.share))


def _effect(name: str, outcomes: Sequence[Outcome], texts: Sequence[str]) -> Effect:
    metric = np.array([one.value for one in outcomes])
    distinct = list(dict.fromkeys(texts))
    values = [one.parameters.get(name) for one in outcomes]
    if all(is_number(value) for value in values) and len(distinct) > max(2, len(values) // 2):
        return Effect(name, _rank_correlation(np.array(values, float), metric), ())
    groups = [metric[[text == one for text in texts]] for one in distinct]
    best = min if lower_is_better(outcomes[0].metric) else max
    figures = tuple(
        ValueFigures(text, len(group), float(group.mean()), float(best(group)))
        for text, group in zip(distinct, groups, strict=True)
    )
    return Effect(name, _between_groups(groups, metric), figures)


def is_number(value: Any) -> bool:  # noqa: ANN401 - a value of any parameter
    """Return whether a value of a parameter is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _between_groups(groups: Sequence[np.ndarray[Any, Any]], metric: np.ndarray[Any, Any]) -> float:
    if np.ptp(metric) == 0:  # the sums below would be rounding errors, one divided by the other
        return _adjusted(0.0, len(metric), len(groups))
    total = float(((metric - metric.mean()) ** 2).sum())
    within = sum(float(((group - group.mean()) ** 2).sum()) for group in groups)
    return _adjusted(1 - within / total, len(metric), len(groups))


def _rank_correlation(values: np.ndarray[Any, Any], metric: np.ndarray[Any, Any]) -> float:
    from scipy.stats import rankdata

    one, other = rankdata(values), rankdata(metric)
    if np.ptp(other) == 0:
        return 0.0
    return _adjusted(float(np.corrcoef(one, other)[0, 1]) ** 2, len(metric), 2)


def _adjusted(share: float, count: int, groups: int) -> float:
    """Subtract what chance alone would explain."""
    if count <= groups:
        return math.nan
    return min(max(1 - (1 - share) * (count - 1) / (count - groups), 0.0), 1.0)
