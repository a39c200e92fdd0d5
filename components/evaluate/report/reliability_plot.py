"""Reliability diagram: accuracy against the probability that the model states."""

from tilepipe.components.evaluate.figures.metrics import SplitScores
from tilepipe.components.shared.pages import plot
from tilepipe.components.shared.pages.formatting import percent
from tilepipe.components.shared.pages.markup import Markup


def reliability_plot(scores: SplitScores) -> Markup:
    """Draw accuracy against probability of a split; the area of a dot is proportional to its tiles.

    The `svg` element is 480 units wide and scales to its container.
    """
    x, y = plot.x_scale(0, 1), plot.y_scale(0, 1)
    parts = [plot.title("Accuracy against stated probability")]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts += plot.y_tick(f"{100 * tick:.0f} %", y(tick))
        parts.append(plot.x_tick(f"{100 * tick:.0f} %", x(tick)))
    parts.append(plot.x_title("probability of the predicted class"))
    parts.append(plot.line([(x(0), y(0)), (x(1), y(1))], plot.SECOND_COLOR, dashes="5 4"))
    parts.append(plot.label("calibrated", x(1) + 8, y(1) + 4, color=plot.SECOND_COLOR))
    points = [(x(one.probability), y(one.accuracy)) for one in scores.reliability]
    if len(points) > 1:
        parts.append(plot.line(points))
    largest = max(one.tiles for one in scores.reliability)
    for (across, up), one in zip(points, scores.reliability, strict=True):
        radius = f"{3 + 7 * (one.tiles / largest) ** 0.5:.1f}"
        parts.append(plot.dot(across, up, r=radius, fill=plot.MAIN_COLOR, fill_opacity=0.75))
    return plot.svg(*parts, description=_description(scores))


def _description(scores: SplitScores) -> str:
    ranges = "; ".join(
        f"{percent(one.accuracy)} right at {percent(one.probability)}, {one.tiles:,} tiles"
        for one in scores.reliability
    )
    return f"Reliability diagram. {ranges}."
