"""A map of the tiles' centers as SVG, which shows if the splits are mixed or separated."""

from collections.abc import Mapping, Sequence

from tilepipe.components.shared.contracts.manifest import Split
from tilepipe.components.shared.pages.formatting import SPLIT_NAMES
from tilepipe.components.shared.pages.map_frame import map_drawing, map_frame
from tilepipe.components.shared.pages.markup import Markup, element

SPLIT_COLORS: Mapping[Split, str] = {"train": "#004488", "val": "#c48a00", "test": "#bb3355"}
"""Distinguishable with any color vision, after https://personal.sron.nl/~pault/ (high contrast), with darker yellow."""

# A shape for each split as well, for prints without colors.
_SHAPES: Mapping[Split, str] = {"train": "h0", "val": "m-2.4-2.4h4.8v4.8h-4.8z", "test": "m0-3.3l3.1 5.5h-6.2z"}


def split_map(points: Mapping[Split, Sequence[tuple[float, float]]]) -> Markup:
    """Draw the centers of at least one tile, longitude and latitude in degrees.

    The `svg` element is 460 units wide and scales down with its container; it needs no style sheet.
    """
    frame = map_frame([point for some in points.values() for point in some])
    # The splits with few points on top.
    by_number = sorted(points, key=lambda split: -len(points[split]))
    counted = ", ".join(f"{len(points[split]):,} {SPLIT_NAMES[split]}" for split in points)
    return map_drawing(
        frame,
        *(_dots(split, [(frame.x(x), frame.y(y)) for x, y in points[split]]) for split in by_number if points[split]),
        description=f"Map of the centers of tiles: {counted}; {frame.area}.",
    )


def legend_mark(split: Split) -> Markup:
    """Return the mark of a split on the map."""
    return element("svg", _dots(split, [(6.0, 6.0)]), viewBox="2 2 8 8", width=13, height=13, aria_hidden="true")


def _dots(split: Split, places: Sequence[tuple[float, float]]) -> Markup:
    """Draw all dots of a split as one path, a tenth of the size of separate circles."""
    color = SPLIT_COLORS[split]
    shape = _SHAPES[split]
    dots = "".join(f"M{x:.1f} {y:.1f}{shape}" for x, y in places)
    if split == "train":
        look: dict[str, str | float] = {
            "stroke": color,
            "stroke_width": 4,
            "stroke_linecap": "round",
            "stroke_opacity": 0.6,
        }
        return element("path", d=dots, class_="dots-train", fill="none", **look)
    return element("path", d=dots, class_=f"dots-{split}", fill=color, fill_opacity=0.85)
