"""The search space of a sweep, and the candidates drawn from it."""

import contextlib
import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

from tilepipe.components.propose.candidate_configs import BEST_METRIC, check_name, field_of
from tilepipe.components.shared.contracts.candidates import Candidate
from tilepipe.components.shared.errors import ParameterError

Search = Literal["grid", "random", "tpe"]

TOGETHER = "together"
"""Prefix of the keys of `tune_space` whose choices set several parameters each."""

_NUMBERS = (int, float, float | None, int | None)
"""Types of the parameters that are numbers."""

_DRAWS_PER_CANDIDATE = 50  # after which a random search reports too few distinct candidates


@dataclass(frozen=True)
class Range:
    """An interval from which a search draws numbers."""

    low: float
    high: float
    is_log: bool
    is_whole: bool

    def draw(self, rng: random.Random) -> float:
        """Draw a number, uniformly or log-uniformly."""
        if self.is_log:
            value = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        else:
            value = rng.uniform(self.low, self.high)
        return self.rounded(min(max(value, self.low), self.high))

    def rounded(self, value: float) -> float:
        """Round a number of the interval to a whole number or to three significant digits.

        More digits are harder to read and do not help: a learning rate of 0.000523817 is no better than 0.000524.
        """
        return round(value) if self.is_whole else min(max(float(f"{value:.3g}"), self.low), self.high)


@dataclass(frozen=True)
class Dimension:
    """Choices, of which a candidate takes one; each sets one parameter, or several together."""

    name: str
    choices: tuple[Mapping[str, Any], ...] = ()
    interval: Range | None = None

    def draw(self, rng: random.Random) -> Mapping[str, Any]:
        """Draw a choice."""
        return {self.name: self.interval.draw(rng)} if self.interval else rng.choice(self.choices)

    def extremes(self) -> tuple[Mapping[str, Any], ...]:
        """Return all choices, or the ends of the interval."""
        if not self.interval:
            return self.choices
        return tuple({self.name: self.interval.rounded(end)} for end in (self.interval.low, self.interval.high))


def dimensions(space: Mapping[str, Any]) -> tuple[Dimension, ...]:
    """Parse a search space.

    Args:
        space: name -> list of values, or `{"low": ..., "high": ..., "log": true}`; `together`, or a name that begins
            with it -> list of mappings.

    Raises:
        ParameterError: the space is empty or contradictory, or has a name that is not a parameter of the candidates.
    """
    if not space:
        raise ParameterError(
            "`tune_space` must have at least one parameter. Received: tune_space={}. "
            'Give for example tune_space={"train_learning_rate": [0.001, 0.01]}.'
        )
    if _has_null(space):
        raise ParameterError(
            "A value must not be null, which KFP cannot pass on. Received: null in `tune_space`. Leave the option out "
            f"of that choice: {TOGETHER}=[{{}}, ...]."
        )
    found = [
        _together(name, values) if name.startswith(TOGETHER) else _dimension(name, values)
        for name, values in space.items()
    ]
    _check_overlaps(found)
    return tuple(found)


def candidates(space: Mapping[str, Any], *, search: Search, most: int, seed: int) -> tuple[Candidate, ...]:
    """List the candidates of a sweep.

    Args:
        space: the search space.
        search: all combinations of the values (grid), or as many random ones as `most` (random). `tpe` chooses its
            candidates later, so random ones stand for them.
        most: number of random candidates, or largest size of the grid.
        seed: seed of the random search.

    Returns:
        The candidates, numbered from 0; the same arguments give the same ones.

    Raises:
        ParameterError: the space is empty, contradictory, too large for a grid, or too small for a random search.
    """
    parsed = dimensions(with_whole_numbers(space))
    choices = list(_grid(parsed, most)) if search == "grid" else _random(parsed, most, seed)
    return tuple(Candidate(index=index, parameters=dict(chosen)) for index, chosen in enumerate(choices))


def extremes(space: Mapping[str, Any], *, seed: int) -> Iterator[dict[str, Any]]:
    """Yield random candidates in which each value of the space, and each end of a range, occurs at least once.

    Args:
        space: the search space.
        seed: seed of the values of the other parameters.
    """
    rng = random.Random(seed)  # noqa: S311 - a reproducible choice, not a secret
    parsed = dimensions(with_whole_numbers(space))
    for chosen in parsed:
        for extreme in chosen.extremes():
            drawn = [extreme if dimension is chosen else dimension.draw(rng) for dimension in parsed]
            yield {name: value for choice in drawn for name, value in choice.items()}


def with_whole_numbers(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return JSON in which numbers without decimals are integers again, since KFP sends all numbers as floats."""
    if isinstance(value, Mapping):
        return {name: with_whole_numbers(one) for name, one in value.items()}
    if isinstance(value, list):
        return [with_whole_numbers(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _has_null(value: Any) -> bool:  # noqa: ANN401 - any JSON
    if isinstance(value, Mapping):
        return any(map(_has_null, value.values()))
    return any(map(_has_null, value)) if isinstance(value, list) else value is None


def _grid(parsed: Sequence[Dimension], most: int) -> Iterator[dict[str, Any]]:
    ranges = [dimension.name for dimension in parsed if dimension.interval]
    if ranges:
        raise ParameterError(
            f"A grid needs a list of values for each parameter. Received: a range for {', '.join(ranges)}. "
            "Give lists, or tune_search=random or tpe."
        )
    size = math.prod(len(dimension.choices) for dimension in parsed)
    if size > most:
        counts = " x ".join(str(len(dimension.choices)) for dimension in parsed)
        raise ParameterError(
            f"A grid must have at most `tune_candidates` candidates. Received: {counts} = {size:,} candidates with "
            f"tune_candidates={most}. Leave values out, raise tune_candidates, or give tune_search=random."
        )
    for combination in product(*(dimension.choices for dimension in parsed)):
        yield {name: value for choice in combination for name, value in choice.items()}


def _random(parsed: Sequence[Dimension], count: int, seed: int) -> list[dict[str, Any]]:
    rng = random.Random(seed)  # noqa: S311 - a reproducible choice, not a secret
    found: dict[str, dict[str, Any]] = {}
    for _ in range(count * _DRAWS_PER_CANDIDATE):
        drawn = {name: value for dimension in parsed for name, value in dimension.draw(rng).items()}
        found.setdefault(json.dumps(drawn, sort_keys=True), drawn)
        if len(found) == count:
            return list(found.values())
    raise ParameterError(
        "A random or TPE search needs as many different candidates as `tune_candidates`. Received: tune_candidates="
        f"{count}, and a space in which {len(found)} were found. Give tune_search=grid, fewer candidates, or ranges."
    )


def _dimension(name: str, values: Any) -> Dimension:  # noqa: ANN401 - from the user
    check_name(name)
    if isinstance(values, Mapping):
        ends = {key: _number_of(name, value) if key in ("low", "high") else value for key, value in values.items()}
        return Dimension(name, interval=_range(name, ends))
    if not isinstance(values, list) or not values:
        example = {"train_learning_rate": [0.001, 0.01]} if isinstance(values, list) else {name: [values]}
        raise ParameterError(
            "`tune_space` must have a list of values, or a range, for each parameter. Received: "
            f"tune_space={ ({name: values})!r}. Give for example tune_space={example!r}, or a range such as "
            '{"low": 0.0001, "high": 0.01, "log": true}.'
        )
    return Dimension(name, tuple({name: _number_of(name, value)} for value in values))


def _number_of(name: str, value: Any) -> Any:  # noqa: ANN401 - of any parameter
    """Return the number that a step reads from text, such as 1e-3, which is text in YAML 1.1; else the value itself."""
    if isinstance(value, str) and field_of(name).annotation in _NUMBERS:
        with contextlib.suppress(ValueError):
            number = float(value)
            return with_whole_numbers(number) if math.isfinite(number) else value
    return value


def _together(name: str, values: Any) -> Dimension:  # noqa: ANN401 - from the user
    if not isinstance(values, list) or not any(values) or not all(isinstance(one, dict) for one in values):
        raise ParameterError(
            "`together` must be a list of choices, each with the values of several parameters. Received: "
            f'{name}={values!r}. Give for example [{{"model_architecture": "compact", "model_options.width": 2}}].'
        )
    for choice in values:
        for one in choice:
            check_name(one)
        _check_unique([choice])
    return Dimension(name, tuple({one: _number_of(one, value) for one, value in choice.items()} for choice in values))


def _range(name: str, values: Mapping[str, Any]) -> Range:
    unknown = sorted(set(values) - {"low", "high", "log"})
    low, high, is_log = values.get("low"), values.get("high"), values.get("log", False)
    received = f"tune_space={ {name: dict(values)}!r}"
    numbers = [value for value in (low, high) if isinstance(value, int | float) and not isinstance(value, bool)]
    if unknown or len(numbers) != 2 or not isinstance(is_log, bool):
        raise ParameterError(
            "A range must have the numbers `low` and `high`, and may have `log`. Received: "
            f"{received}. Give for example "
            'tune_space={"train_learning_rate": {"low": 0.0001, "high": 0.01, "log": true}}.'
        )
    low, high = numbers
    if not (math.isfinite(low) and math.isfinite(high) and low < high) or (is_log and low <= 0):
        exchanged = {name: {**values, "low": high, "high": low}}
        exchange = f"Exchange them: tune_space={exchanged!r}." if high < low and (high > 0 or not is_log) else ""
        raise ParameterError(
            f"`low` must be less than `high`, and above 0 with `log`. Received: {received}. "
            f"{exchange or 'Give another range, or a list with the single value.'}"
        )
    kind = field_of(name).annotation
    if kind not in _NUMBERS:
        raise ParameterError(f"A range must be of a parameter that is a number. Received: {received}. Give a list.")
    is_whole = kind in (int, int | None)
    if is_whole and not (isinstance(low, int) and isinstance(high, int)):
        first = math.ceil(low)
        whole = {**values, "low": first, "high": max(first + 1, math.floor(high))}
        raise ParameterError(
            f"A range of a parameter that is a whole number must have whole ends. Received: {received}. Give for "
            f"example tune_space={ {name: whole}!r}."
        )
    return Range(low, high, is_log, is_whole)


def _check_overlaps(found: Sequence[Dimension]) -> None:
    """Check that no two dimensions set the same parameter or option, and none the metric in a struct."""
    named = [{name: None for choice in d.choices for name in _targets(choice)} or {d.name: None} for d in found]
    for targets in named:
        if BEST_METRIC in targets:
            check_name(BEST_METRIC)
    _check_unique(named)


def _check_unique(choices: Sequence[Mapping[str, Any]]) -> None:
    seen: set[str] = set()
    for choice in choices:
        for name in choice:
            if name in seen or name.partition(".")[0] in seen or any(one.startswith(f"{name}.") for one in seen):
                raise ParameterError(
                    "Each parameter must be in `tune_space` once. Received: more than one choice for "
                    f"{name.partition('.')[0] if '.' not in name else name}. Put values that belong together into "
                    "`together`."
                )
        seen |= set(choice)


def _targets(choice: Mapping[str, Any]) -> Iterator[str]:
    """Yield the parameters that a choice sets, and the options in its structs."""
    for name, value in choice.items():
        if isinstance(value, Mapping):
            yield from (f"{name}.{option}" for option in value)
        else:
            yield name
