"""Loss and accuracy against epochs, drawn as SVG: nothing to load, to run or to install where it is shown."""

import html
import math
from dataclasses import dataclass
from typing import Literal

from tilepipe.components.shared.history import History

Figure = Literal["loss", "accuracy"]
FIGURES: tuple[Figure, ...] = ("loss", "accuracy")

VAL_COLOUR, TRAIN_COLOUR = "#1d5a9c", "#66737f"
_INK, _SOFT, _LINE = "#1c2733", "#56636f", "#e3e8ed"
_TITLES: dict[Figure, str] = {"loss": "Loss (cross-entropy)", "accuracy": "Accuracy"}
_FONT = "system-ui, 'Segoe UI', Roboto, Arial, sans-serif"

# One user unit is one pixel at the 480 pixels that Kubeflow's HTML viewer leaves.
_WIDTH, _HEIGHT = 480.0, 236.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 84.0, 40.0, 40.0


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


def curve_panel(history: History, figure: Figure) -> str:
    """Draw one figure against epochs: training, and validation with the best epoch marked where there is such.

    Args:
        history: figures of each epoch.
        figure: which of them to draw.

    Returns:
        An `svg` element of 480 by 236 units that scales to the width of what it stands in; it needs no style.
    """
    return _svg(_panel(history, figure), _HEIGHT, _description(history, figure))


def curves_drawing(history: History) -> str:
    """Draw loss above accuracy.

    Args:
        history: figures of each epoch.

    Returns:
        An SVG document of its own, for tools that show pictures.
    """
    panels = [
        f'<g transform="translate(0 {i * _HEIGHT:.0f})">{_panel(history, figure)}</g>'
        for i, figure in enumerate(FIGURES)
    ]
    background = f'<rect width="{_WIDTH:.0f}" height="{_HEIGHT * len(panels):.0f}" fill="#ffffff"/>'
    label = " ".join(_description(history, figure) for figure in FIGURES)
    return _svg(background + "".join(panels), _HEIGHT * len(panels), label) + "\n"


def _svg(content: str, height: float, label: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:.0f} {height:.0f}" width="{_WIDTH:.0f}" '
        f'height="{height:.0f}" role="img" aria-label="{html.escape(label)}" font-family="{_FONT}" font-size="12" '
        f'style="max-width:100%;height:auto">{content}</svg>'
    )


def _panel(history: History, figure: Figure) -> str:
    lines = {"training": [e[figure] for e in history.epochs]}
    if history.has_validation:
        lines["validation"] = [e[f"val_{figure}"] for e in history.epochs]
    across = _Scale(1, len(history.epochs), _LEFT, _WIDTH - _RIGHT)
    ticks = _value_ticks([value for line in lines.values() for value in line], figure)
    up = _Scale(ticks[0], ticks[-1], _HEIGHT - _BOTTOM, _TOP)
    parts = [_text(_TITLES[figure], 0, 15, size=14, colour=_INK, weight=600)]
    parts += [_value_tick(tick, up(tick), figure) for tick in ticks]
    parts += [_epoch_tick(epoch, across(epoch)) for epoch in _epoch_ticks(len(history.epochs))]
    parts.append(_text("epoch", (_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 4, anchor="middle"))
    parts.append(_line(lines["training"], across, up, TRAIN_COLOUR, dashes="5 4"))
    if history.has_validation:
        parts.append(_line(lines["validation"], across, up, VAL_COLOUR))
        parts.append(_best_epoch(history, figure, across, up))
    parts += _names_at_the_ends({name: up(line[-1]) for name, line in lines.items()})
    return "".join(parts)


def _best_epoch(history: History, figure: Figure, across: _Scale, up: _Scale) -> str:
    x, y = across(history.best_epoch), up(history.best[f"val_{figure}"])
    # The words stay within the picture wherever the best epoch lies.
    anchor = "start" if x < _LEFT + 60 else "end" if x > _WIDTH - _RIGHT - 60 else "middle"
    value = _written(history.best[f"val_{figure}"], figure)
    return (
        f'<line x1="{x:.1f}" y1="{_TOP:.1f}" x2="{x:.1f}" y2="{_HEIGHT - _BOTTOM:.1f}" stroke="{VAL_COLOUR}" '
        f'stroke-opacity="0.35"/><circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="#ffffff" stroke="{VAL_COLOUR}" '
        'stroke-width="2"/>'
        + _text(f"best epoch {history.best_epoch}: {value}", x, _TOP - 8, anchor=anchor, colour=VAL_COLOUR)
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
    """The lines' names where the lines end: closer to the eye than a legend; kept apart where the lines meet."""
    ordered = sorted(heights.items(), key=lambda item: item[1])
    (upper, top), (lower, bottom) = ordered[0], ordered[-1]
    push = max(0.0, 14 - (bottom - top)) / 2 if len(ordered) > 1 else 0.0
    colours = {"training": TRAIN_COLOUR, "validation": VAL_COLOUR}
    x = _WIDTH - _RIGHT + 8
    return [
        _text(name, x, y + 4, colour=colours[name], weight=600)
        for name, y in {upper: top - push, lower: bottom + push}.items()
    ]


def _value_tick(value: float, y: float, figure: Figure) -> str:
    written = f"{100 * value:g} %" if figure == "accuracy" else f"{value:g}"
    return f'<line x1="{_LEFT:.1f}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT:.1f}" y2="{y:.1f}" stroke="{_LINE}"/>' + _text(
        written, _LEFT - 8, y + 4, anchor="end"
    )


def _epoch_tick(epoch: int, x: float) -> str:
    return _text(str(epoch), x, _HEIGHT - _BOTTOM + 17, anchor="middle")


def _text(
    text: str, x: float, y: float, *, anchor: str = "start", colour: str = _SOFT, size: int = 12, weight: int = 400
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-size="{size}" '
        f'font-weight="{weight}">{html.escape(text)}</text>'
    )


def _description(history: History, figure: Figure) -> str:
    if not history.has_validation:
        first, last = history.epochs[0][figure], history.epochs[-1][figure]
        return (
            f"{_TITLES[figure]} against {len(history.epochs)} epochs; on the training tiles {_written(first, figure)} "
            f"after the first and {_written(last, figure)} after the last; there are no validation tiles."
        )
    first, best = history.epochs[0][f"val_{figure}"], history.best[f"val_{figure}"]
    return (
        f"{_TITLES[figure]} against {len(history.epochs)} epochs; on the validation tiles {_written(first, figure)} "
        f"after the first and {_written(best, figure)} after the best, epoch {history.best_epoch}."
    )


def _written(value: float, figure: Figure) -> str:
    return f"{100 * value:.1f} %" if figure == "accuracy" else f"{value:.3f}"


def _value_ticks(values: list[float], figure: Figure) -> list[float]:
    """Round values that enclose all others: loss starts at 0, accuracy ends at 100 % or below."""
    low = 0.0 if figure == "loss" else min(values)
    high = max(values)
    if high - low < 1e-9:
        low, high = low - 0.05, high + 0.05
        low, high = (max(0.0, low), min(1.0, high)) if figure == "accuracy" else (0.0, max(high, 0.1))
    step = _round_step((high - low) / 4)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 10) for i in range(first, last + 1)]


def _epoch_ticks(epochs: int) -> list[int]:
    step = max(1, round(_round_step(epochs / 8))) if epochs > 10 else 1
    return [1, *(epoch for epoch in range(step, epochs + 1, step) if epoch > 1)]


def _round_step(wanted: float) -> float:
    """The next of 1, 2 and 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(wanted))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= wanted * (1 - 1e-9))
