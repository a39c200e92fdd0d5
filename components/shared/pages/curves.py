"""The figures of a training against epochs, drawn as SVG: nothing to load, to run or to install where it is shown."""

import html
import math
from dataclasses import dataclass
from typing import Literal

from tilepipe.components.shared.contracts.history import History

Figure = Literal["loss", "accuracy", "balanced_accuracy", "learning_rate"]
FIGURES: tuple[Figure, ...] = ("loss", "accuracy")
"""What every history holds, and every page draws."""

VAL_COLOUR, TRAIN_COLOUR = "#1d5a9c", "#66737f"
INK, SOFT, LINE = "#1c2733", "#56636f", "#e3e8ed"
_TITLES: dict[Figure, str] = {
    "loss": "Loss",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "learning_rate": "Learning rate",
}
_SHARES: frozenset[Figure] = frozenset({"accuracy", "balanced_accuracy"})
FONT = "system-ui, 'Segoe UI', Roboto, Arial, sans-serif"

# One user unit is one pixel at the 480 pixels that Kubeflow's HTML viewer leaves.
WIDTH, HEIGHT = 480.0, 236.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 84.0, 40.0, 40.0


@dataclass(frozen=True)
class _Scale:
    """Maps values between `low` and `high` to pixels between `start` and `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        span = self.high - self.low
        return self.start + (self.end - self.start) * ((value - self.low) / span if span else 0.5)


def drawn_figures(history: History) -> tuple[Figure, ...]:
    """Which figures are worth a drawing: a learning rate that never changed, for one, is not."""
    balanced = history.has_validation and "val_balanced_accuracy" in history.best
    changed = len({epoch.get("learning_rate") for epoch in history.epochs}) > 1
    more: tuple[tuple[Figure, bool], ...] = (("balanced_accuracy", balanced), ("learning_rate", changed))
    return (*FIGURES, *(figure for figure, is_drawn in more if is_drawn))


def curve_panel(history: History, figure: Figure) -> str:
    """Draw one figure against epochs: training, and validation with the best epoch marked where there is such.

    Args:
        history: figures of each epoch.
        figure: which of them to draw.

    Returns:
        An `svg` element of 480 by 236 units that scales to the width of what it stands in; it needs no style.
    """
    return _svg(_panel(history, figure), HEIGHT, _description(history, figure))


def curves_drawing(history: History) -> str:
    """Draw all figures, one below the other.

    Args:
        history: figures of each epoch.

    Returns:
        An SVG document of its own, for tools that show pictures.
    """
    figures = drawn_figures(history)
    panels = [
        f'<g transform="translate(0 {i * HEIGHT:.0f})">{_panel(history, figure)}</g>'
        for i, figure in enumerate(figures)
    ]
    background = f'<rect width="{WIDTH:.0f}" height="{HEIGHT * len(panels):.0f}" fill="#ffffff"/>'
    label = " ".join(_description(history, figure) for figure in figures)
    return _svg(background + "".join(panels), HEIGHT * len(panels), label) + "\n"


def _svg(content: str, height: float, label: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:.0f} {height:.0f}" width="{WIDTH:.0f}" '
        f'height="{height:.0f}" role="img" aria-label="{html.escape(label)}" font-family="{FONT}" font-size="12" '
        f'style="max-width:100%;height:auto">{content}</svg>'
    )


def _panel(history: History, figure: Figure) -> str:
    lines = _lines(history, figure)
    across = _Scale(1, len(history.epochs), LEFT, WIDTH - RIGHT)
    ticks = _value_ticks([value for line in lines.values() for value in line], figure)
    up = _Scale(ticks[0], ticks[-1], HEIGHT - BOTTOM, TOP)
    parts = [_text(_TITLES[figure], 0, 15, size=14, colour=INK, weight=600)]
    parts += [_value_tick(tick, up(tick), figure) for tick in ticks]
    parts += [_epoch_tick(epoch, across(epoch)) for epoch in _epoch_ticks(len(history.epochs))]
    parts.append(_text("epoch", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, anchor="middle"))
    if "training" in lines:
        parts.append(_line(lines["training"], across, up, TRAIN_COLOUR, dashes="5 4"))
    if "validation" in lines:
        parts.append(_line(lines["validation"], across, up, VAL_COLOUR))
        parts.append(_best_epoch(history, figure, across, up))
    if figure != "learning_rate":  # which is nobody's
        parts += _names_at_the_ends({name: up(line[-1]) for name, line in lines.items()})
    return "".join(parts)


def _lines(history: History, figure: Figure) -> dict[str, list[float]]:
    """Return the values to draw for a figure, by `training` and `validation`."""
    names = {"training": figure, "validation": f"val_{figure}"}
    return {whose: [e[name] for e in history.epochs] for whose, name in names.items() if name in history.best}


def _best_epoch(history: History, figure: Figure, across: _Scale, up: _Scale) -> str:
    x, y = across(history.best_epoch), up(history.best[f"val_{figure}"])
    # The words stay within the picture wherever the best epoch lies.
    anchor = "start" if x < LEFT + 60 else "end" if x > WIDTH - RIGHT - 60 else "middle"
    value = _written(history.best[f"val_{figure}"], figure)
    return (
        f'<line x1="{x:.1f}" y1="{TOP:.1f}" x2="{x:.1f}" y2="{HEIGHT - BOTTOM:.1f}" stroke="{VAL_COLOUR}" '
        f'stroke-opacity="0.35"/><circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="#ffffff" stroke="{VAL_COLOUR}" '
        'stroke-width="2"/>'
        + _text(f"best epoch {history.best_epoch}: {value}", x, TOP - 8, anchor=anchor, colour=VAL_COLOUR)
    )


def _line(values: list[float], across: _Scale, up: _Scale, colour: str, *, dashes: str = "") -> str:
    points = [f"{across(epoch):.1f},{up(value):.1f}" for epoch, value in enumerate(values, start=1)]
    if len(points) == 1:
        x, y = points[0].split(",")
        return f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>'
    dash = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (
        f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="2" '
        f'stroke-linejoin="round"{dash}/>'
    )


def _names_at_the_ends(heights: dict[str, float]) -> list[str]:
    """Label each line at its end instead of in a legend; labels are kept apart where lines meet."""
    ordered = sorted(heights.items(), key=lambda item: item[1])
    (upper, top), (lower, bottom) = ordered[0], ordered[-1]
    push = max(0.0, 14 - (bottom - top)) / 2 if len(ordered) > 1 else 0.0
    colours = {"training": TRAIN_COLOUR, "validation": VAL_COLOUR}
    x = WIDTH - RIGHT + 8
    return [
        _text(name, x, y + 4, colour=colours[name], weight=600)
        for name, y in {upper: top - push, lower: bottom + push}.items()
    ]


def _value_tick(value: float, y: float, figure: Figure) -> str:
    written = f"{100 * value:g} %" if figure in _SHARES else _brief(value)
    return f'<line x1="{LEFT:.1f}" y1="{y:.1f}" x2="{WIDTH - RIGHT:.1f}" y2="{y:.1f}" stroke="{LINE}"/>' + _text(
        written, LEFT - 8, y + 4, anchor="end"
    )


def _epoch_tick(epoch: int, x: float) -> str:
    return _text(str(epoch), x, HEIGHT - BOTTOM + 17, anchor="middle")


def _text(
    text: str, x: float, y: float, *, anchor: str = "start", colour: str = SOFT, size: int = 12, weight: int = 400
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-size="{size}" '
        f'font-weight="{weight}">{html.escape(text)}</text>'
    )


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
    """Round values that enclose all others: loss and learning rate start at 0 or below, accuracy ends at 100 %."""
    low = min(values) if figure in _SHARES else min(0.0, *values)
    high = max(values) if figure in _SHARES else max(0.0, *values)
    if high - low <= (0 if figure == "learning_rate" else 1e-9):
        low, high = low - 0.05, high + 0.05
        low, high = (max(0.0, low), min(1.0, high)) if figure in _SHARES else (0.0, max(high, 0.1))
    step = round_step((high - low) / 4)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 15) for i in range(first, last + 1)]


def _epoch_ticks(epochs: int) -> list[int]:
    step = max(1, round(round_step(epochs / 8))) if epochs > 10 else 1
    return [1, *(epoch for epoch in range(step, epochs + 1, step) if epoch > 1)]


def round_step(wanted: float) -> float:
    """Round up to 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(wanted))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= wanted * (1 - 1e-9))
