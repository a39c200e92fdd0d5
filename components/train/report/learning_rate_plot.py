"""Plot of the learning-rate finder as SVG, in the style of the training curves."""

import math
from collections.abc import Sequence

from tilepipe.components.shared.pages import plot
from tilepipe.components.shared.pages.markup import Markup, element
from tilepipe.components.train.optimization.learning_rate_finder import RateCurve

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def rate_drawing(curve: RateCurve) -> Markup:
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
    power, y = plot.x_scale(first, last), plot.y_scale(ticks[0], ticks[-1])

    def points(losses: Sequence[float]) -> list[plot.Point]:
        clipped = (min(max(loss, ticks[0]), ticks[-1]) for loss in losses)
        return [(power(math.log10(rate)), y(loss)) for rate, loss in zip(curve.rates, clipped, strict=True)]

    smoothed = points(curve.smoothed)
    end_x, end_y = smoothed[-1]
    parts = [
        element("rect", width=f"{plot.WIDTH:.0f}", height=f"{plot.HEIGHT:.0f}", fill=plot.WHITE),
        plot.title("Loss against learning rate"),
        *(part for tick in ticks for part in plot.y_tick(f"{tick:g}", y(tick))),
        *(plot.x_tick(f"10{str(i).translate(_SUPERSCRIPTS)}", power(i)) for i in range(first, last + 1)),
        plot.x_title("learning rate"),
        *(plot.dot(*point, r=1.5, fill=plot.SECOND_COLOR, fill_opacity=0.5) for point in points(curve.losses)),
        plot.line(smoothed),
        plot.label("smoothed", end_x + 8, end_y + 4, color=plot.MAIN_COLOR, weight=600),
    ]
    if curve.suggestion is not None:
        parts += plot.marker(f"suggested: {curve.suggestion:.2g}", max(power(math.log10(curve.suggestion)), plot.LEFT))
    return plot.svg(*parts, description=_description(curve))


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


def _loss_ticks(curve: RateCurve) -> list[float]:
    """Return round ticks from the lowest loss to above the initial one."""
    low, start = min(curve.losses), max(curve.smoothed[: max(1, len(curve.smoothed) // 2)])
    span = max(1.5 * (start - low), 0.1 * start, 1e-6)
    return plot.round_ticks(low, low + span, digits=10)
