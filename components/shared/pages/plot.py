"""Parts of SVG plots: scales, ticks, lines and text, as attributes, so that a drawing needs no style sheet."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tilepipe.components.shared.pages.markup import Child, Markup, element
from tilepipe.components.shared.pages.style import ACCENT

INK, SOFT, LINE, WHITE = "#1c2733", "#56636f", "#e3e8ed", "#ffffff"
MAIN_COLOR, SECOND_COLOR = ACCENT, "#66737f"
"""Colors of the line that matters most and of the one beside it."""
FONT = "system-ui, 'Segoe UI', Roboto, Arial, sans-serif"

# One user unit is one pixel at the 480 pixels that Kubeflow's HTML viewer leaves.
WIDTH, HEIGHT = 480.0, 236.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 84.0, 40.0, 40.0
"""Margins around the axes of a plot."""

Anchor = Literal["start", "middle", "end"]
Point = tuple[float, float]


@dataclass(frozen=True)
class Scale:
    """A linear map from values between `low` and `high` to units between `start` and `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Map a value; without a span, to the middle."""
        span = self.high - self.low
        return self.start + (self.end - self.start) * ((value - self.low) / span if span else 0.5)


def x_scale(low: float, high: float) -> Scale:
    """Create the scale of the horizontal axis of a plot."""
    return Scale(low, high, LEFT, WIDTH - RIGHT)


def y_scale(low: float, high: float) -> Scale:
    """Create the scale of the vertical axis of a plot; SVG counts downwards."""
    return Scale(low, high, HEIGHT - BOTTOM, TOP)


def svg(*content: Child, description: str, height: float = HEIGHT) -> Markup:
    """Build a plot.

    Args:
        *content: elements of the plot; text is escaped.
        description: text for screen readers.
        height: height in units. Defaults to that of one plot, 236.

    Returns:
        An `svg` element 480 units wide that scales to its container; it is also a complete SVG document.
    """
    return element(
        "svg",
        *content,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH:.0f} {height:.0f}",
        width=f"{WIDTH:.0f}",
        height=f"{height:.0f}",
        role="img",
        aria_label=description,
        font_family=FONT,
        font_size=12,
        style="max-width:100%;height:auto",
    )


def text(words: str, x: float, y: float, **attributes: str | float) -> Markup:
    """Draw text; `attributes` are those of the SVG element, such as `text_anchor`."""
    return element("text", words, x=f"{x:.1f}", y=f"{y:.1f}", **attributes)


def label(
    words: str,
    x: float,
    y: float,
    *,
    anchor: Anchor = "start",
    color: str = SOFT,
    size: int = 12,
    weight: int = 400,
) -> Markup:
    """Draw a label of a plot; `size` is in units."""
    return text(words, x, y, text_anchor=anchor, fill=color, font_size=size, font_weight=weight)


def title(words: str) -> Markup:
    """Draw the title of a plot."""
    return label(words, 0, 15, size=14, color=INK, weight=600)


def x_title(words: str) -> Markup:
    """Draw the title of the horizontal axis."""
    return label(words, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, anchor="middle")


def x_tick(words: str, x: float) -> Markup:
    """Draw a tick of the horizontal axis."""
    return label(words, x, HEIGHT - BOTTOM + 17, anchor="middle")


def y_tick(words: str, y: float) -> list[Markup]:
    """Draw a tick of the vertical axis, with a line across the plot."""
    return [segment(LEFT, y, WIDTH - RIGHT, y, stroke=LINE), label(words, LEFT - 8, y + 4, anchor="end")]


def marker(words: str, x: float, *, opacity: float | None = None) -> list[Markup]:
    """Mark a place on the horizontal axis with a vertical line and a label above it."""
    # Keep the label within the plot.
    anchor: Anchor = "start" if x < LEFT + 60 else "end" if x > WIDTH - RIGHT - 60 else "middle"
    upright = segment(x, TOP, x, HEIGHT - BOTTOM, stroke=MAIN_COLOR, stroke_opacity=opacity)
    return [upright, label(words, x, TOP - 8, anchor=anchor, color=MAIN_COLOR)]


def line(points: Sequence[Point], color: str = MAIN_COLOR, *, dashes: str | None = None) -> Markup:
    """Draw a line through points, or a dot for a single point."""
    if len(points) == 1:
        return dot(*points[0], r=3, fill=color)
    return element(
        "polyline",
        points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points),
        fill="none",
        stroke=color,
        stroke_width=2,
        stroke_linejoin="round",
        stroke_dasharray=dashes,
    )


def segment(x1: float, y1: float, x2: float, y2: float, **attributes: str | float | None) -> Markup:
    """Draw a straight line between two points; `attributes` are those of the SVG element, such as `stroke`."""
    return element("line", x1=f"{x1:.1f}", y1=f"{y1:.1f}", x2=f"{x2:.1f}", y2=f"{y2:.1f}", **attributes)


def dot(x: float, y: float, **attributes: str | float) -> Markup:
    """Draw a circle; `attributes` are those of the SVG element, such as the radius `r`."""
    return element("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", **attributes)


def round_step(wanted: float) -> float:
    """Round up to 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(wanted))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= wanted * (1 - 1e-9))


def epoch_ticks(epochs: int) -> list[int]:
    """Choose about eight round epochs, and the first one."""
    step = max(1, round(round_step(epochs / 8))) if epochs > 10 else 1
    return sorted({1, *range(step, epochs + 1, step)})


def round_ticks(low: float, high: float, digits: int = 15) -> list[float]:
    """Choose about five round values that enclose `low` and `high`, rounded to `digits` decimal places."""
    step = round_step((high - low) / 4)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, digits) for number in range(first, last + 1)]
