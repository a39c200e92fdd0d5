"""Choice of a candidate's parameters by the results of earlier ones: Optuna's tree-structured Parzen estimator (TPE).

Each choice starts from the results alone, in the order of their candidates, and from a seed of its own. So a killed
worker chooses as it would have, and one worker always chooses the same.
"""

import json
import logging
import math
import random
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tilepipe.components.propose.space import Dimension, dimensions
from tilepipe.components.shared.contracts.candidates import Candidate, Outcome, Study
from tilepipe.components.shared.contracts.history import lower_is_better

if TYPE_CHECKING:
    import optuna

logger = logging.getLogger("tilepipe.tune")

_TRIES = 50  # before a candidate that is chosen again and again is replaced by a random one


def choose(
    study: Study, index: int, known: Mapping[int, Candidate], outcomes: Mapping[int, Outcome], metric: str
) -> Candidate:
    """Choose the parameters of a candidate; they differ from those of all known ones.

    Candidates that were stopped at a rung rank behind all finished ones, and those that failed, or lack the metric,
    behind these: they are never among the good ones, whose neighborhood is searched. Candidates without an outcome
    count as bad too, so that workers do not try the same.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rng = random.Random(f"{study.seed} {index}")  # noqa: S311 - a reproducible choice, not a secret
    parsed = dimensions(study.space)
    distributions = {dimension.name: _distribution(dimension) for dimension in parsed}
    others = [one for at, one in sorted(known.items()) if at != index]
    comparable = [one for one in others if _values(parsed, one.parameters) is not None]
    failed = [one for one in comparable if _is_failure(outcomes.get(one.index))]
    measured = [one for one in comparable if one.index in outcomes and one not in failed]
    # A tenth of the trials are the good ones, which must not be more than those with a value.
    left_out = failed[: max(0, len(failed) - 9 * len(measured))]
    sampler = optuna.samplers.TPESampler(
        seed=rng.getrandbits(32),
        n_startup_trials=study.startup_candidates if len(measured) >= study.startup_candidates else sys.maxsize,
    )
    trials = optuna.create_study(sampler=sampler, direction="minimize" if lower_is_better(metric) else "maximize")
    for one in comparable:
        if one not in left_out:
            values = _values(parsed, one.parameters)
            trials.add_trial(_trial(values or {}, distributions, outcomes.get(one.index)))
    taken = {_identity(one.parameters) for one in others}
    for _ in range(_TRIES):
        asked = trials.ask(distributions)
        parameters = _parameters(parsed, asked.params)
        if _identity(parameters) not in taken:
            return Candidate(index=index, parameters=parameters)
        trials.tell(asked, state=optuna.trial.TrialState.FAIL)
    logger.info("candidate-%03d is random, since only known ones were chosen", index)
    for _ in range(_TRIES * _TRIES):
        parameters = {name: value for dimension in parsed for name, value in dimension.draw(rng).items()}
        if _identity(parameters) not in taken:
            break
    return Candidate(index=index, parameters=parameters)


def is_in_space(study: Study, parameters: Mapping[str, Any]) -> bool:
    """Return whether a candidate with these parameters may be one of the study's search space."""
    return _values(dimensions(study.space), parameters) is not None


def _distribution(dimension: Dimension) -> "optuna.distributions.BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    interval = dimension.interval
    if interval is None:
        return CategoricalDistribution(range(len(dimension.choices)))
    if interval.is_whole:
        return IntDistribution(math.ceil(interval.low), math.floor(interval.high), log=interval.is_log)
    return FloatDistribution(interval.low, interval.high, log=interval.is_log)


def _parameters(parsed: Sequence[Dimension], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a candidate from the values of a trial."""
    found: dict[str, Any] = {}
    for dimension in parsed:
        value = values[dimension.name]
        if dimension.interval:
            found[dimension.name] = dimension.interval.rounded(value)
        else:
            found.update(dimension.choices[value])
    return found


def _values(parsed: Sequence[Dimension], parameters: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the values of a trial from the parameters of a candidate; None if it is not of this search space."""
    values: dict[str, Any] = {}
    names: set[str] = set()
    for dimension in parsed:
        if dimension.interval:
            value = parameters.get(dimension.name)
            if not isinstance(value, int | float) or not dimension.interval.low <= value <= dimension.interval.high:
                return None
            values[dimension.name] = value
            names.add(dimension.name)
            continue
        own = _names(dimension.choices)
        chosen = {name: value for name, value in parameters.items() if name in own}
        if chosen not in dimension.choices:
            return None
        values[dimension.name] = dimension.choices.index(chosen)
        names |= own
    return values if parameters.keys() <= names else None


def _names(choices: Iterable[Mapping[str, Any]]) -> set[str]:
    return {name for choice in choices for name in choice}


def _trial(
    values: Mapping[str, Any],
    distributions: Mapping[str, "optuna.distributions.BaseDistribution"],
    outcome: Outcome | None,
) -> "optuna.trial.FrozenTrial":
    from optuna.trial import TrialState, create_trial

    given: dict[str, Any] = {"params": dict(values), "distributions": dict(distributions)}
    if outcome is None:
        return create_trial(state=TrialState.RUNNING, **given)
    if _is_failure(outcome):
        # A failed trial is ignored, and its neighborhood searched as one without trials; a pruned one is a bad one, and
        # without a value the worst.
        return create_trial(state=TrialState.PRUNED, **given)
    if outcome.status == "stopped" and outcome.history:
        reached = {len(outcome.history.epochs): outcome.value}
        return create_trial(state=TrialState.PRUNED, value=outcome.value, intermediate_values=reached, **given)
    return create_trial(state=TrialState.COMPLETE, value=outcome.value, **given)


def _is_failure(outcome: Outcome | None) -> bool:
    return outcome is not None and (outcome.status == "failed" or not math.isfinite(outcome.value))


def _identity(parameters: Mapping[str, Any]) -> str:
    return json.dumps(parameters, sort_keys=True)
