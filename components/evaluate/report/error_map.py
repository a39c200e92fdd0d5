"""Map of the tiles that are right and wrong."""

import numpy as np

from tilepipe.components.evaluate.evaluation import ErrorPlaces
from tilepipe.components.evaluate.figures.arrays import Floats
from tilepipe.components.shared.pages.map_frame import MapFrame, map_drawing, map_frame
from tilepipe.components.shared.pages.markup import Markup, element
from tilepipe.components.shared.pages.style import ACCENT, ALERT

MOST_DOTS = 5000
"""Largest number of dots of each kind; of more tiles, every n-th is drawn."""


def error_map(places: ErrorPlaces) -> Markup:
    """Draw the centers of the tiles, at least one, the wrong ones as crosses on top.

    The `svg` element is 460 units wide and scales down with its container.
    """
    frame = map_frame([(float(x), float(y)) for x, y in places.centers])
    right, wrong = places.centers[~places.wrong], places.centers[places.wrong]
    dots = element(
        "path",
        d=_path(frame, right, "h0"),
        fill="none",
        stroke=ACCENT,
        stroke_width=4,
        stroke_linecap="round",
        stroke_opacity=0.45,
    )
    crosses = element("path", d=_path(frame, wrong, "m-3-3l6 6m0-6l-6 6"), fill="none", stroke=ALERT, stroke_width=1.8)
    counted = f"{len(right):,} right, {len(wrong):,} wrong"
    return map_drawing(frame, dots, crosses, description=f"Map of the tiles: {counted}; {frame.area}.")


def legend_of_errors() -> Markup:
    """Build the legend of the map."""
    dot = element("path", d="M6 6h0", stroke=ACCENT, stroke_width=5, stroke_linecap="round")
    cross = element("path", d="M3 3l6 6m0-6l-6 6", fill="none", stroke=ALERT, stroke_width=1.8)
    return element(
        "p",
        *(
            element("span", element("svg", mark, viewBox="0 0 12 12", width=13, height=13, aria_hidden="true"), words)
            for mark, words in ((dot, " right"), (cross, " wrong"))
        ),
        class_="legend marks",
    )


def _path(frame: MapFrame, centers: Floats, shape: str) -> str:
    """Draw all marks as one path; a tenth of the size of separate elements."""
    chosen = centers[:: max(1, -(-len(centers) // MOST_DOTS))]
    places = np.round([(frame.x(x), frame.y(y)) for x, y in chosen], 1).tolist()
    return "".join(f"M{x:g} {y:g}{shape}" for x, y in places)
