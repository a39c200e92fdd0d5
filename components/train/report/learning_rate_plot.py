"""Plot of the learning-rate finder as SVG, in the style of the training curves."""

import math

from tilepipe.components.shared.pages.curves import (
    BOTTOM,
    FONT,
    HEIGHT,
    INK,
    LEFT,
    LINE,
    RIGHT,
    SOFT,
    TOP,
    TRAIN_COLOUR,
    VAL_COLOUR,
    WIDTH,
    round_step,
)
from tilepipe.components.shared.pages.markup import Markup, element, join
from tilepipe.components.train.optimization.learning_rate_finder import RateCurve

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def rate_drawing(curve: RateCurve) -> str:
    """Plot the loss against the learning rate on a logarithmic axis.

    Args:
        curve: the result of the range test. Losses far above the initial ones are clipped at the top.

    Returns:
        An `svg` element of 480 by 236 units that scales to its container and needs no style sheet; it is also a
        complete SVG document.
    """
    first, last = math.floor(math.log10(curve.rates[0])), math.ceil(math.log10(curve.rates[-1]))
    last = max(last, first + 1)
    ticks = _loss_ticks(curve)

    def across(rate: float) -> float:
        return LEFT + (WIDTH - RIGHT - LEFT) * (math.log10(rate) - first) / (last - first)

    def up(loss: float) -> float:
        share = (min(max(loss, ticks[0]), ticks[-1]) - ticks[0]) / (ticks[-1] - ticks[0])
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * share

    parts = [
        element("rect", width=f"{WIDTH:.0f}", height=f"{HEIGHT:.0f}", fill="#ffffff"),
        _text("Loss against learning rate", 0, 15, size=14, colour=INK, weight=600),
        *(_loss_tick(tick, up(tick)) for tick in ticks),
        *(_rate_tick(power, across(10.0**power)) for power in range(first, last + 1)),
        _text("learning rate", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, anchor="middle"),
        *(_dot(across(rate), up(loss)) for rate, loss in zip(curve.rates, curve.losses, strict=True)),
        _line([(across(rate), up(loss)) for rate, loss in zip(curve.rates, curve.smoothed, strict=True)]),
        _text("smoothed", across(curve.rates[-1]) + 8, up(curve.smoothed[-1]) + 4, colour=VAL_COLOUR, weight=600),
    ]
    if curve.suggestion is not None:
        parts.append(_suggested(curve.suggestion, max(across(curve.suggestion), LEFT)))
    return element(
        "svg",
        join(*parts),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH:.0f} {HEIGHT:.0f}",
        width=f"{WIDTH:.0f}",
        height=f"{HEIGHT:.0f}",
        role="img",
        aria_label=_description(curve),
        font_family=FONT,
        font_size="12",
        style="max-width:100%;height:auto",
    )


def _description(curve: RateCurve) -> str:
    lowest = min(range(len(curve.rates)), key=curve.smoothed.__getitem__)
    ended = "until the loss diverged" if curve.diverged else "to the last rate"
    said = (
        f"suggested: {curve.suggestion:.2g}"
        if curve.suggestion is not None
        else "no suggestion, since the loss did not fall"
    )
    return (
        f"Smoothed loss against learning rates from {curve.rates[0]:.2g} to {curve.rates[-1]:.2g}, {ended}; "
        f"{curve.smoothed[0]:.3g} at first, {curve.smoothed[lowest]:.3g} at the lowest, "
        f"at a rate of {curve.rates[lowest]:.2g}; {said}."
    )


def _suggested(rate: float, x: float) -> Markup:
    # Keep the label within the picture.
    anchor = "start" if x < LEFT + 60 else "end" if x > WIDTH - RIGHT - 60 else "middle"
    line = element(
        "line", x1=f"{x:.1f}", y1=f"{TOP:.1f}", x2=f"{x:.1f}", y2=f"{HEIGHT - BOTTOM:.1f}", stroke=VAL_COLOUR
    )
    return join(line, _text(f"suggested: {rate:.2g}", x, TOP - 8, anchor=anchor, colour=VAL_COLOUR))


def _line(points: list[tuple[float, float]]) -> Markup:
    written = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return element(
        "polyline", points=written, fill="none", stroke=VAL_COLOUR, stroke_width="2", stroke_linejoin="round"
    )


def _dot(x: float, y: float) -> Markup:
    return element("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r="1.5", fill=TRAIN_COLOUR, fill_opacity="0.5")


def _loss_tick(loss: float, y: float) -> Markup:
    line = element("line", x1=f"{LEFT:.1f}", y1=f"{y:.1f}", x2=f"{WIDTH - RIGHT:.1f}", y2=f"{y:.1f}", stroke=LINE)
    return join(line, _text(f"{loss:g}", LEFT - 8, y + 4, anchor="end"))


def _rate_tick(power: int, x: float) -> Markup:
    return _text(f"10{str(power).translate(_SUPERSCRIPTS)}", x, HEIGHT - BOTTOM + 17, anchor="middle")


def _text(
    text: str, x: float, y: float, *, anchor: str = "start", colour: str = SOFT, size: int = 12, weight: int = 400
) -> Markup:
    return element(
        "text",
        text,
        x=f"{x:.1f}",
        y=f"{y:.1f}",
        text_anchor=anchor,
        fill=colour,
        font_size=str(size),
        font_weight=str(weight),
    )


def _loss_ticks(curve: RateCurve) -> list[float]:
    """Return round ticks from the lowest loss to above the initial one."""
    low, start = min(curve.losses), max(curve.smoothed[: max(1, len(curve.smoothed) // 2)])
    span = max(1.5 * (start - low), 0.1 * abs(start), 1e-6)
    step = round_step(span / 4)
    first, last = math.floor(low / step + 1e-9), math.ceil((low + span) / step - 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]
