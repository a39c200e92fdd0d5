"""Parallel coordinates of a sweep as SVG: one axis per parameter and for the metric, one line per candidate."""

import math
from collections.abc import Callable, Sequence

from tilepipe.components.select.importance import is_number
from tilepipe.components.select.ranked_table import parameter_names, shown_value, value_text
from tilepipe.components.shared.contracts.candidates import Outcome
from tilepipe.components.shared.contracts.history import lower_is_better
from tilepipe.components.shared.pages import plot
from tilepipe.components.shared.pages.formatting import shortened
from tilepipe.components.shared.pages.markup import Markup, element

_LEFT, _RIGHT = 150.0, 440.0
"""Ends of the horizontal axes, in units. The axes are stacked, so that any number of them fits into a narrow frame."""
_ROW, _TOP = 58.0, 22.0
_LETTER = 6.0  # width of a letter in units, on average
_SPREAD = 10.0  # width over which candidates with the same value are spread, in units
_LOG_FROM = 30.0  # ratio of the largest to the smallest value from which an axis is logarithmic


def drawing(outcomes: Sequence[Outcome]) -> Markup | None:
    """Draw the ranked candidates that have the metric as an `svg`; None if all of them have the same parameters."""
    drawn = [one for one in outcomes if not math.isnan(one.value)]
    names = [name for name in parameter_names(drawn) if len({value_text(one, name) for one in drawn}) > 1]
    if not names or len(drawn) < 2:
        return None
    lines: list[list[plot.Point]] = [[] for _ in drawn]
    parts: list[Markup] = []
    for row, name in enumerate(names):
        y = _TOP + row * _ROW
        place, ticks = _parameter_axis(drawn, name)
        parts += _axis(name, y, ticks)
        for at, one in enumerate(drawn):
            lines[at].append((place(one), y))
    y = _TOP + len(names) * _ROW
    scale, ticks = _metric_axis(drawn)
    parts += _axis(drawn[0].metric, y, ticks)
    for at, one in enumerate(drawn):
        lines[at].append((scale(one.value), y))
    order = [*range(1, len(drawn)), 0]  # the winner is drawn last, over all others
    paths = [_path(lines[at], drawn[at], 1 - at / len(drawn)) for at in reversed(order[:-1])]
    winner = element("g", plot.line(lines[0]), *(plot.dot(x, y, r=3.5, fill=plot.MAIN_COLOR) for x, y in lines[0]))
    chosen = ", ".join(f"{name} {value_text(drawn[0], name)}" for name in names)
    description = (
        f"{len(drawn)} candidates by {', '.join(names)} and {drawn[0].metric}. The best, candidate {drawn[0].index}, "
        f"has {chosen}."
    )
    return plot.svg(*paths, winner, *parts, description=description, height=y + 30)


def _path(points: Sequence[plot.Point], outcome: Outcome, quality: float) -> Markup:
    """Draw the line of a candidate; lines of better ones are more opaque."""
    is_stopped = outcome.status == "stopped"
    line = plot.line(points, plot.SECOND_COLOR if is_stopped else plot.MAIN_COLOR, dashes="4 4" if is_stopped else None)
    return element("g", line, opacity=f"{0.12 + (0.2 if is_stopped else 0.3 * quality):.2f}")


def _axis(name: str, y: float, ticks: Sequence[tuple[float, str]]) -> list[Markup]:
    group, _, option = name.rpartition(".")
    words = [plot.label(shortened(option, 21), 0, y + 4, color=plot.INK, weight=600)]
    if group:
        words.append(plot.label(group, 0, y + 18, size=11))
    axis = plot.segment(_LEFT, y, _RIGHT, y, stroke=plot.SECOND_COLOR)
    return [*words, axis, *(_tick(text, x, y + 17) for x, text in ticks)]


def _tick(words: str, x: float, y: float) -> Markup:
    """Draw a label of an axis, with a white outline, since lines of candidates pass behind it."""
    edge: dict[str, str | float] = {
        "stroke": plot.WHITE,
        "stroke_width": 4,
        "stroke_linejoin": "round",
        "paint_order": "stroke",
    }
    return plot.text(words, x, y, text_anchor="middle", fill=plot.INK, font_size=11, **edge)


def _parameter_axis(drawn: Sequence[Outcome], name: str) -> tuple[Callable[[Outcome], float], list[tuple[float, str]]]:
    numbers = [float(one.parameters[name]) for one in drawn if is_number(one.parameters.get(name))]
    if len(numbers) == len(drawn):
        return _number_axis(numbers, name)
    texts = list(dict.fromkeys(value_text(one, name) for one in sorted(drawn, key=lambda one: one.index)))
    gap = (_RIGHT - _LEFT) / len(texts)
    middles = {text: _LEFT + gap * (at + 0.5) for at, text in enumerate(texts)}
    shifts = {one.index: _shift(at, len(drawn), gap) for at, one in enumerate(drawn)}

    def place(one: Outcome) -> float:
        return middles[value_text(one, name)] + shifts[one.index]

    return place, [(x, shortened(text, max(3, int(gap / _LETTER) - 1))) for text, x in middles.items()]


def _number_axis(numbers: Sequence[float], name: str) -> tuple[Callable[[Outcome], float], list[tuple[float, str]]]:
    low, high = min(numbers), max(numbers)
    is_log = low > 0 and high / low >= _LOG_FROM

    def unit(value: float) -> float:
        return math.log10(value) if is_log else value

    scale = plot.Scale(unit(low), unit(high), _LEFT + 10, _RIGHT - 10)
    distinct = sorted(set(numbers))
    # The ends are always labelled, the values between them where there is room.
    ticks = [(scale(unit(value)), shown_value(value)) for value in (low, high)]
    for value in distinct[1:-1]:
        x = scale(unit(value))
        if all(abs(x - other) > 52 for other, _ in ticks):
            ticks.append((x, shown_value(value)))
    return lambda one: scale(unit(float(one.parameters[name]))), ticks


def _metric_axis(drawn: Sequence[Outcome]) -> tuple[plot.Scale, list[tuple[float, str]]]:
    values = [one.value for one in drawn]
    worst, best = (max(values), min(values)) if lower_is_better(drawn[0].metric) else (min(values), max(values))
    scale = plot.Scale(worst, best, _LEFT + 10, _RIGHT - 10)  # the best is always at the right
    if worst == best:
        return scale, [(scale(best), f"{best:.4g}")]
    return scale, [(scale(worst), f"{worst:.4g}"), (scale(best), f"{best:.4g}")]


def _shift(at: int, count: int, gap: float) -> float:
    return (at / max(count - 1, 1) - 0.5) * min(_SPREAD, gap / 3)
