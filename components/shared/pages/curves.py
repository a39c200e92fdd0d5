"""Curves of a training against epochs, as SVG."""

from typing import Literal

from tilepipe.components.shared.contracts.history import History
from tilepipe.components.shared.pages import plot
from tilepipe.components.shared.pages.markup import Markup, element, join

Figure = Literal["loss", "accuracy", "balanced_accuracy", "learning_rate"]
FIGURES: tuple[Figure, ...] = ("loss", "accuracy")
"""Figures that every history has."""

_COLORS = {"training": plot.SECOND_COLOR, "validation": plot.MAIN_COLOR}
_TITLES: dict[Figure, str] = {
    "loss": "Loss",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "learning_rate": "Learning rate",
}
_SHARES: frozenset[Figure] = frozenset({"accuracy", "balanced_accuracy"})


def drawn_figures(history: History) -> tuple[Figure, ...]:
    """Select the figures worth drawing; a learning rate that never changed, for example, is not."""
    balanced = history.has_validation and "val_balanced_accuracy" in history.best
    changed = len({epoch.get("learning_rate") for epoch in history.epochs}) > 1
    more: tuple[tuple[Figure, bool], ...] = (("balanced_accuracy", balanced), ("learning_rate", changed))
    return (*FIGURES, *(figure for figure, is_drawn in more if is_drawn))


def curve_panel(history: History, figure: Figure) -> Markup:
    """Draw one figure against epochs: training, and validation with its best epoch marked, if there is one.

    Returns:
        An `svg` element of 480 by 236 units that scales to its container and needs no style sheet.
    """
    return plot.svg(_panel(history, figure), description=_description(history, figure))


def curves_drawing(history: History) -> str:
    """Draw all figures, one below the other, as an SVG document for tools that show pictures."""
    figures = drawn_figures(history)
    height = plot.HEIGHT * len(figures)
    panels = [
        element("g", _panel(history, figure), transform=f"translate(0 {i * plot.HEIGHT:.0f})")
        for i, figure in enumerate(figures)
    ]
    background = element("rect", width=f"{plot.WIDTH:.0f}", height=f"{height:.0f}", fill=plot.WHITE)
    description = " ".join(_description(history, figure) for figure in figures)
    return plot.svg(background, *panels, description=description, height=height) + "\n"


def _panel(history: History, figure: Figure) -> Markup:
    lines = _lines(history, figure)
    x = plot.x_scale(1, len(history.epochs))
    ticks = _value_ticks([value for line in lines.values() for value in line], figure)
    y = plot.y_scale(ticks[0], ticks[-1])
    parts = [plot.title(_TITLES[figure])]
    for tick in ticks:
        parts += plot.y_tick(f"{100 * tick:g} %" if figure in _SHARES else _brief(tick), y(tick))
    parts += [plot.x_tick(str(epoch), x(epoch)) for epoch in plot.epoch_ticks(len(history.epochs))]
    parts.append(plot.x_title("epoch"))
    for name, values in lines.items():
        points = [(x(epoch), y(value)) for epoch, value in enumerate(values, start=1)]
        parts.append(plot.line(points, _COLORS[name], dashes="5 4" if name == "training" else None))
    if "validation" in lines:
        parts += _best_epoch(history, figure, x, y)
    if figure != "learning_rate":  # it has a single line
        parts += _labels_at_the_ends({name: y(line[-1]) for name, line in lines.items()})
    return join(*parts)


def _lines(history: History, figure: Figure) -> dict[str, list[float]]:
    """Return the values to draw for a figure, by `training` and `validation`."""
    names = {"training": figure, "validation": f"val_{figure}"}
    return {whose: [e[name] for e in history.epochs] for whose, name in names.items() if name in history.best}


def _best_epoch(history: History, figure: Figure, x: plot.Scale, y: plot.Scale) -> list[Markup]:
    best = history.best[f"val_{figure}"]
    upright, label = plot.marker(
        f"best epoch {history.best_epoch}: {_written(best, figure)}", x(history.best_epoch), opacity=0.35
    )
    ring = plot.dot(x(history.best_epoch), y(best), r=5, fill=plot.WHITE, stroke=plot.MAIN_COLOR, stroke_width=2)
    return [upright, ring, label]


def _labels_at_the_ends(heights: dict[str, float]) -> list[Markup]:
    """Label each line at its end instead of in a legend; labels are kept apart where lines meet."""
    ordered = sorted(heights.items(), key=lambda item: item[1])
    (upper, top), (lower, bottom) = ordered[0], ordered[-1]
    push = max(0.0, 14 - (bottom - top)) / 2 if len(ordered) > 1 else 0.0
    x = plot.WIDTH - plot.RIGHT + 8
    return [
        plot.label(name, x, y + 4, color=_COLORS[name], weight=600)
        for name, y in {upper: top - push, lower: bottom + push}.items()
    ]


def _description(history: History, figure: Figure) -> str:
    lines, title = _lines(history, figure), f"{_TITLES[figure]} against {len(history.epochs)} epochs"
    if "validation" not in lines:
        first, last = (_written(lines["training"][i], figure) for i in (0, -1))
        if figure == "learning_rate":
            return f"{title}; {first} in the first and {last} in the last."
        return (
            f"{title}; on the training tiles {first} after the first and {last} after the last; there are no "
            "validation tiles."
        )
    first, best = (_written(lines["validation"][i], figure) for i in (0, history.best_epoch - 1))
    return (
        f"{title}; on the validation tiles {first} after the first and {best} after the best, "
        f"epoch {history.best_epoch}."
    )


def _written(value: float, figure: Figure) -> str:
    if figure == "learning_rate":
        return _brief(value)
    return f"{100 * value:.1f} %" if figure in _SHARES else f"{value:.3f}"


def _brief(value: float) -> str:
    """Format a number in a few characters, such as `0.05`, `5e-4` or `2e6`."""
    plain = f"{value:g}"
    if len(plain) <= 5 and "e" not in plain:
        return plain
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def _value_ticks(values: list[float], figure: Figure) -> list[float]:
    """Choose round values that enclose all others; loss and learning rate start at 0 or below."""
    low = min(values) if figure in _SHARES else min(0.0, *values)
    high = max(values) if figure in _SHARES else max(0.0, *values)
    if high - low <= (0 if figure == "learning_rate" else 1e-9):
        low, high = low - 0.05, high + 0.05
        low, high = (max(0.0, low), min(1.0, high)) if figure in _SHARES else (0.0, max(high, 0.1))
    return plot.round_ticks(low, high)
