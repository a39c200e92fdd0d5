"""The verdict of the gate: accepted, refused or undecided, with reasons in plain sentences."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from tilepipe.components.gate.judgement.floors import FloorResult
from tilepipe.components.gate.judgement.paired_comparison import Comparison
from tilepipe.components.shared.pages.formatting import tiles

Outcome = Literal["accepted", "refused", "undecided"]
Vote = tuple[Outcome, str]

MIN_TILES = 30
MAX_LOSS = 0.01
SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Rules:
    """Limits of the comparison."""

    min_tiles: int = MIN_TILES
    """Smallest number of common test tiles on which two models are compared."""
    max_loss: float = MAX_LOSS
    """Largest loss of accuracy that must be ruled out where the difference is not significant."""
    significance: float = SIGNIFICANCE
    """p-value of McNemar's test below which a difference is significant."""


@dataclass(frozen=True)
class Verdict:
    """Outcome of the gate and its reasons."""

    outcome: Outcome
    reasons: tuple[str, ...]
    """Sentences, those that decided first."""

    @property
    def reason(self) -> str:
        """The reasons as one text."""
        return " ".join(self.reasons)


def judge(
    floors: Sequence[FloorResult],
    comparison: Comparison | None,
    *,
    obstacles: Sequence[str] = (),
    has_champion: bool = True,
    rules: Rules = Rules(),
) -> Verdict:
    """Judge a challenger.

    A missed floor refuses it, as does a significantly lower accuracy than the champion's. What cannot be measured
    leaves the verdict undecided, and a person decides.

    Args:
        floors: the challenger's figures beside the floors.
        comparison: champion and challenger on the same tiles; None if they could not be compared.
        obstacles: sentences that say why the comparison is impossible or not fair; any of them leaves it undecided.
        has_champion: False if there is none, so that the floors alone decide. Defaults to True.
        rules: limits of the comparison.
    """
    votes: list[Vote] = [*_of_floors(floors), *(("undecided", obstacle) for obstacle in obstacles)]
    if not has_champion:
        votes.append(("accepted", "There is no champion to compare with."))
    elif comparison is not None:
        votes += _of_comparison(comparison, rules)
    elif not obstacles:
        votes.append(("undecided", "The challenger was not compared with the champion."))
    order: tuple[Outcome, ...] = ("refused", "undecided", "accepted")
    outcome = next(outcome for outcome in order if any(vote == outcome for vote, _ in votes))
    reasons = [reason for wanted in order for vote, reason in votes if vote == wanted]
    return Verdict(outcome, tuple(reasons))


def _of_floors(floors: Sequence[FloorResult]) -> Iterable[Vote]:
    met = [floor for floor in floors if floor.is_met]
    if len(met) > 1:
        yield "accepted", f"{'All' if len(met) == len(floors) else 'The other'} {len(met)} floors are met."
    elif met:
        yield "accepted", f"{met[0].name} is {met[0].value:.4f}, at least {met[0].minimum:g}."
    for floor in floors:
        rule = f"{floor.name} must be at least {floor.minimum:g}, but "
        if not floor.is_measured:
            yield "undecided", f"{rule}there are no test tiles for it."
        elif not floor.is_met:
            yield "refused", f"{rule}it is {floor.value:.4f}."


def _of_comparison(comparison: Comparison, rules: Rules) -> Iterable[Vote]:
    accuracy = comparison.differences["accuracy"]
    on = f"on {tiles(comparison.tiles)}"
    if comparison.tiles < rules.min_tiles:
        yield "undecided", f"The models can be compared {on} only; at least {rules.min_tiles:,} are required."
        return
    if not comparison.only_champion + comparison.only_challenger:
        yield "accepted", f"No difference: champion and challenger are right and wrong on the same tiles ({on})."
        return
    stated = (
        f"the accuracy of the challenger is {accuracy.challenger:.4f} and that of the champion {accuracy.champion:.4f} "
        f"{on} (95 % interval of the difference {accuracy.low:+.4f} to {accuracy.high:+.4f}, McNemar's exact test "
        f"p = {p_value(comparison.p_value)})"
    )
    if comparison.p_value < rules.significance:
        if accuracy.value < 0:
            yield "refused", f"The challenger is worse: {stated}."
            return
        yield "accepted", f"The challenger is better: {stated}."
    elif accuracy.low >= -rules.max_loss:
        yield "accepted", f"The challenger is not worse by more than {rules.max_loss:g}: {stated}."
    else:
        yield (
            "undecided",
            f"The difference is not significant, but a loss of more than {rules.max_loss:g} cannot be ruled out: "
            f"{stated}. More test tiles would tell.",
        )
    macro = comparison.differences["macro_f1"]
    if macro.high < 0:
        yield (
            "undecided",
            f"The mean F1 over the classes is lower: {macro.challenger:.4f} instead of {macro.champion:.4f} (95 % "
            f"interval of the difference {macro.low:+.4f} to {macro.high:+.4f}).",
        )


def p_value(value: float) -> str:
    """Format a p-value with four decimal places, or a power of ten for a smaller one."""
    return f"{value:.4f}" if value >= 0.0001 else f"{value:.1e}"
