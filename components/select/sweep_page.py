"""HTML page that compares the candidates of a sweep."""

import math
from collections import Counter
from collections.abc import Sequence

from tilepipe.components.select import parallel_coordinates
from tilepipe.components.select.importance import Effect, effects
from tilepipe.components.select.ranked_table import parameter_names, shown_value
from tilepipe.components.shared.contracts.candidates import Outcome
from tilepipe.components.shared.contracts.history import in_words, lower_is_better
from tilepipe.components.shared.contracts.manifest import Manifest
from tilepipe.components.shared.pages import plot
from tilepipe.components.shared.pages.dark_style import DARK_STYLE
from tilepipe.components.shared.pages.formatting import DASH, breakable, percent
from tilepipe.components.shared.pages.markup import Markup, element
from tilepipe.components.shared.pages.page import bar, facts, figures, headings, html_page, number, pair, section, table
from tilepipe.components.shared.pages.style import PAGE_STYLE
from tilepipe.components.shared.version import VERSION

_STYLE = (
    PAGE_STYLE
    + """
.curves{row-gap:1.2rem}
.winner td,.winner th{color:var(--accent);font-weight:650}
.failed td,.failed th{color:var(--soft)}
thead .number{white-space:normal}
"""
    + DARK_STYLE
)
_MOST_CURVES = 60


def render_comparison(outcomes: Sequence[Outcome], manifest: Manifest) -> str:
    """Render the ranked candidates, the winner first, as a self-contained HTML page without scripts."""
    title = f"Sweep on {manifest.name}"
    found = effects(outcomes)
    return html_page(
        title,
        _STYLE,
        element("header", element("h1", title), element("p", _lede(outcomes), class_="lede"), _key_figures(outcomes)),
        _parameters(outcomes, found),
        _candidates(outcomes),
        _curves(outcomes),
        _values(found, outcomes),
        _failures(outcomes),
        _common(outcomes[0]),
        element("footer", f"Written by tilepipe {VERSION}. Data packed by tilepipe {manifest.tilepipe_version}."),
    )


def _figure(value: float, metric: str) -> str:
    if math.isnan(value):
        return DASH
    return f"{value:.4f}" if lower_is_better(metric) else percent(value, 2)


def _lede(outcomes: Sequence[Outcome]) -> str:
    winner, words = outcomes[0], in_words(outcomes[0].metric)
    epoch = f" in epoch {winner.history.best_epoch} of {len(winner.history.epochs)}" if winner.history else ""
    figure = f"{words} {_figure(winner.value, winner.metric)}{epoch}"
    text = f"Candidate {winner.index} is the best of {len(outcomes)}: {figure}."
    others = [one for one in outcomes[1:] if one.status == "finished" and not math.isnan(one.value)]
    if not others:
        return text
    return f"{text} The next one, candidate {others[0].index}, has {_figure(others[0].value, winner.metric)}."


def _key_figures(outcomes: Sequence[Outcome]) -> Markup:
    winner, statuses = outcomes[0], Counter(one.status for one in outcomes)
    seconds = sum(one.seconds for one in outcomes)
    more = [f"{statuses[name]} {name}" for name in ("stopped", "failed") if statuses[name]]
    return figures(
        [
            ("Best", _figure(winner.value, winner.metric), in_words(winner.metric)),
            ("Finished", f"{statuses['finished']} of {len(outcomes)}", ", ".join(more) or "none stopped, none failed"),
            ("Weights of the best", f"{winner.weights:,}" if winner.weights else DASH, "numbers in the model"),
            ("Training time", _duration(seconds), "of all candidates together"),
        ]
    )


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _parameters(outcomes: Sequence[Outcome], found: Sequence[Effect]) -> Markup | None:
    """Show which parameters matter: parallel coordinates, and the share that each parameter explains."""
    coordinates = parallel_coordinates.drawing(outcomes)
    lines = section(
        "Parameters",
        "One line per candidate, the best one in bold; lines of better candidates are more opaque, those of "
        "stopped ones dashed.",
        coordinates,
    )
    rows = [
        element(
            "tr",
            element("th", breakable(effect.name), scope="row"),
            number(percent(effect.share, 0), bar(effect.share)),
        )
        for effect in found
    ]
    importance = section(
        "Importance",
        "Share of the variation between finished candidates that a parameter explains alone, adjusted for the number "
        "of its values; a dash where each value occurs once. With few candidates, the shares are uncertain. Joint "
        "effects of several parameters are not included.",
        table("Importance", headings("Parameter", "#Share explained"), rows),
    )
    if coordinates and found:
        return pair(lines, importance)
    return lines if coordinates else None


def _candidates(outcomes: Sequence[Outcome]) -> Markup:
    names, metric = parameter_names(outcomes), outcomes[0].metric
    rows = [
        element(
            "tr",
            element("th", one.index, scope="row"),
            number(_figure(one.value, metric)),
            *(
                element("td", breakable(shown_value(one.parameters[name])) if name in one.parameters else DASH)
                for name in names
            ),
            element("td", one.status),
            number(f"{one.history.best_epoch} of {len(one.history.epochs)}" if one.history else DASH),
            number(f"{one.weights:,}" if one.weights else DASH),
            number(_duration(one.seconds)),
            class_="winner" if one is outcomes[0] else "failed" if one.status == "failed" else None,
        )
        for one in outcomes
    ]
    titles = ("Candidate", f"#{_title(metric)}", *names, "Status", "#Best epoch", "#Weights", "#Time")
    head = [_heading(title) for title in titles]
    return section(
        "Candidates",
        "The best first; the one with fewer weights decides between equal ones.",
        table("Candidates, the best first", head, rows, wide=True),
        long=True,
    )


def _title(metric: str) -> str:
    words = in_words(metric)
    return words[:1].upper() + words[1:]  # not `capitalize`, which makes F1 and names of classes lower case


def _heading(title: str) -> Markup:
    """Build a column heading that may break; a leading `#` marks a column of numbers."""
    is_number = title.startswith("#")
    return element("th", breakable(title.removeprefix("#")), scope="col", class_="number" if is_number else None)


def _curves(outcomes: Sequence[Outcome]) -> Markup | None:
    """Draw the metric and the validation loss of all candidates against epochs."""
    drawn = [one for one in outcomes if one.history][:_MOST_CURVES]
    metric = outcomes[0].metric
    panels = [_panel(drawn, name) for name in dict.fromkeys((metric, "val_loss"))]
    if len(max((one.history.epochs for one in drawn if one.history), key=len, default=())) < 2:
        return None
    return section(
        "Learning curves",
        f"On the validation tiles; candidate {outcomes[0].index} in bold.",
        element("div", *(panel for panel in panels if panel), class_="pair curves"),
    )


def _panel(drawn: Sequence[Outcome], name: str) -> Markup | None:
    lines = [
        (one, [epoch[name] for epoch in one.history.epochs])
        for one in drawn
        if one.history and all(math.isfinite(epoch.get(name, math.nan)) for epoch in one.history.epochs)
    ]
    if not lines:
        return None
    is_loss = lower_is_better(name)
    values = [value for _, line in lines for value in line]
    low, high = min(values), max(values)
    low, high = (low - 0.05, high + 0.05) if high - low < 1e-9 else (low, high)
    ticks = plot.round_ticks(max(0.0, low), high if is_loss else min(1.0, high))
    epochs = max(len(line) for _, line in lines)
    x, y = plot.x_scale(1, epochs), plot.y_scale(ticks[0], ticks[-1])
    parts: list[Markup] = [plot.title(_title(name))]
    for tick in ticks:
        parts += plot.y_tick(f"{tick:g}" if is_loss else f"{100 * tick:g} %", y(tick))
    parts += [plot.x_tick(str(epoch), x(epoch)) for epoch in plot.epoch_ticks(epochs)]
    parts.append(plot.x_title("epoch"))
    for one, line in reversed(lines):
        points = [(x(epoch), y(value)) for epoch, value in enumerate(line, start=1)]
        is_winner = one is drawn[0]
        drawn_line = plot.line(points, plot.MAIN_COLOR if is_winner else plot.SECOND_COLOR)
        parts.append(drawn_line if is_winner else element("g", drawn_line, opacity="0.3"))
        if is_winner:
            end = points[-1]
            parts.append(plot.label(f"best: {one.index}", end[0] + 6, end[1] + 4, color=plot.MAIN_COLOR, weight=600))
    best = (min if is_loss else max)(values)
    return plot.svg(
        *parts,
        description=f"{in_words(name)} of {len(lines)} candidates against {epochs} epochs; the best is {best:.4g}.",
    )


def _values(found: Sequence[Effect], outcomes: Sequence[Outcome]) -> Markup | None:
    """Compare the values of each parameter."""
    metric = outcomes[0].metric
    rows = [
        element(
            "tr",
            element("th", breakable(effect.name) if at == 0 else "", scope="row"),
            element("td", breakable(one.value)),
            number(str(one.candidates)),
            number(_figure(one.mean, metric)),
            number(_figure(one.best, metric)),
        )
        for effect in found
        for at, one in enumerate(effect.values)
    ]
    if not rows:
        return None
    head = headings("Parameter", "Value", "#Candidates", "#Mean", "#Best")
    note = f"{_title(metric)} of the finished candidates with each value."
    return section("Values", note, table("Figures of each value", head, rows, wide=True), long=True)


def _failures(outcomes: Sequence[Outcome]) -> Markup | None:
    """List the reasons of failures, each with the candidates that failed for it."""
    reasons: dict[str, list[str]] = {}
    for one in sorted(outcomes, key=lambda one: one.index):
        if one.status == "failed":
            reasons.setdefault(one.reason, []).append(str(one.index))
    if not reasons:
        return None
    rows = [
        element("p", f"{'Candidate' if len(found) == 1 else 'Candidates'} {', '.join(found)}: {why}")
        for why, found in reasons.items()
    ]
    return section("Failures", None, *rows)


def _common(winner: Outcome) -> Markup | None:
    if not winner.base:
        return None
    rows = [(name, element("code", shown_value(value))) for name, value in sorted(winner.base.items())]
    return section("Parameters of all candidates", "Those that differ from the pipeline's defaults.", facts(rows))
