"""Frame of a map as SVG: the area that encloses some points, its scale, and meridians and parallels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tilepipe.components.shared.pages import plot
from tilepipe.components.shared.pages.land import land_path
from tilepipe.components.shared.pages.markup import Child, Markup, element

# One user unit is one pixel at the width of Kubeflow's HTML viewer.
_WIDTH, _LEFT, _RIGHT, _TOP, _BOTTOM = 460.0, 72.0, 12.0, 8.0, 26.0
_INNER_WIDTH = _WIDTH - _LEFT - _RIGHT
_LOWEST, _HIGHEST = 150.0, 400.0
_LINE, _FRAME = "#dde3e9", "#b6c0c9"
LAND, COAST = "#e9edf0", "#c2cbd3"
_STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 45, 60, 90)
_SMALLEST_SPAN = 0.01  # degrees: one kilometre, if all tiles are in the same place
_SMALLEST_WITH_LAND = 5.0  # degrees across: in smaller areas, the simplified coasts are pixels away from the real ones


@dataclass(frozen=True)
class MapFrame:
    """Area of the map: longitudes from `west`, which may end beyond 180, and latitudes up to `north`."""

    west: float
    north: float
    scale: float
    """Pixels per degree of latitude."""
    shrink: float
    """Length of a degree of longitude relative to one of latitude, in the middle of the map."""
    height: float

    @property
    def east(self) -> float:
        """Longitude of the right side, which may exceed 180."""
        return self.west + _INNER_WIDTH / (self.scale * self.shrink)

    @property
    def south(self) -> float:
        """Latitude of the lower side."""
        return self.north - self.height / self.scale

    @property
    def area(self) -> str:
        """Sides of the map in words."""
        return (
            f"from {degrees(self.west, 'EW')} to {degrees(self.east, 'EW')} "
            f"and from {degrees(self.south, 'NS')} to {degrees(self.north, 'NS')}"
        )

    def x(self, longitude: float) -> float:
        """Map a longitude in degrees to pixels from the left."""
        turned = self.west + (longitude - self.west) % 360
        return _LEFT + (turned - self.west) * self.shrink * self.scale

    def y(self, latitude: float) -> float:
        """Map a latitude in degrees to pixels from the top."""
        return _TOP + (self.north - latitude) * self.scale


def map_drawing(frame: MapFrame, *content: Child, description: str) -> Markup:
    """Draw a map, with the land of areas that are at least five degrees wide.

    Args:
        frame: area and scale.
        *content: what lies on the map.
        description: text for screen readers.

    Returns:
        An `svg` element 460 units wide that scales down with its container; it needs no style sheet.
    """
    height = frame.height + _TOP + _BOTTOM
    return element(
        "svg",
        *_graticule(frame),
        *content,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_WIDTH:.0f} {height:.0f}",
        width=f"{_WIDTH:.0f}",
        height=f"{height:.0f}",
        role="img",
        aria_label=description,
        font_family=plot.FONT,
        font_size=11,
        class_="map",
    )


def degrees(value: float, sides: str, digits: int = 3) -> str:
    """Format an angle such as `12.5° E`; `sides` are the letters for positive and negative values."""
    if sides == "EW":
        value = (value + 180) % 360 - 180
    number = f"{abs(value):.{digits}f}".rstrip("0").rstrip(".") if digits else f"{abs(value):.0f}"
    side = "" if float(number) == 0 or (sides == "EW" and float(number) == 180) else sides[value < 0]
    return f"{number}°\u202f{side}" if side else f"{number}°"


def map_frame(points: Sequence[tuple[float, float]]) -> MapFrame:
    """Enclose at least one point, longitude and latitude in degrees.

    The frame has the same scale everywhere, and is at most 400 pixels high.
    """
    west, across = _shortest_arc([x for x, _ in points])
    south, north = min(y for _, y in points), max(y for _, y in points)
    middle = (south + north) / 2
    shrink = max(math.cos(math.radians(middle)), 0.1)
    up = max((north - south) * 1.08, _SMALLEST_SPAN)
    wide = min(max(across * 1.08, _SMALLEST_SPAN / shrink), 360.0)
    scale = min(_INNER_WIDTH / (wide * shrink), _HIGHEST / up)
    height = min(max(up * scale, _LOWEST), _HIGHEST)
    # The sides stay empty if necessary, so that the scale is the same on the whole map.
    start = west + across / 2 - _INNER_WIDTH / (2 * scale * shrink)
    return MapFrame(start, middle + height / (2 * scale), scale, shrink, height)


def _shortest_arc(longitudes: Sequence[float]) -> tuple[float, float]:
    """Return the start and the length of the shortest arc of all longitudes, which excludes the widest gap."""
    ordered = sorted({(x + 180) % 360 - 180 for x in longitudes})
    gaps = [later - x for x, later in zip(ordered, [*ordered[1:], ordered[0] + 360], strict=True)]
    widest = max(range(len(gaps)), key=gaps.__getitem__)
    return ordered[(widest + 1) % len(ordered)], 360 - gaps[widest]


def _graticule(frame: MapFrame) -> list[Markup]:
    right, bottom = _WIDTH - _RIGHT, _TOP + frame.height
    drawn = [
        element(
            "rect", x=_LEFT, y=_TOP, width=right - _LEFT, height=f"{frame.height:.1f}", fill="#f8fafb", stroke=_FRAME
        ),
        *([land] if (land := _land(frame)) else []),
    ]
    step, digits = _step(frame.east - frame.west, 4)
    for i in range(math.ceil(frame.west / step), math.floor(frame.east / step) + 1):
        x = _LEFT + (i * step - frame.west) * frame.shrink * frame.scale
        drawn.append(plot.segment(x, _TOP, x, bottom, stroke=_LINE))
        if _LEFT + 16 <= x <= right - 16:
            drawn.append(_label(degrees(i * step, "EW", digits), x, bottom + 16, "middle"))
    step, digits = _step(frame.south - frame.north, max(2, round(frame.height / 75)))
    for i in range(math.ceil(max(frame.south, -90) / step), math.floor(min(frame.north, 90) / step) + 1):
        y = frame.y(i * step)
        drawn.append(plot.segment(_LEFT, y, right, y, stroke=_LINE))
        drawn.append(_label(degrees(i * step, "NS", digits), _LEFT - 6, y + 4, "end"))
    return drawn


def _step(span: float, lines: int) -> tuple[float, int]:
    """Return a round step for about this number of lines, and its number of digits."""
    step = next((step for step in _STEPS if abs(span) / step <= lines + 1), _STEPS[-1])
    return step, max(0, math.ceil(-math.log10(step) - 1e-9))


def _land(frame: MapFrame) -> Markup | None:
    if frame.east - frame.west < _SMALLEST_WITH_LAND:
        return None
    drawn = land_path(frame.west, frame.north, frame.scale * frame.shrink, frame.scale, _INNER_WIDTH, frame.height)
    path = element("path", d=drawn, transform="scale(.1)", fill=LAND, stroke=COAST, stroke_width=8, fill_rule="evenodd")
    # An inner `svg` clips its content.
    return element("svg", path, x=_LEFT, y=_TOP, width=_INNER_WIDTH, height=f"{frame.height:.1f}", class_="land")


def _label(text: str, x: float, y: float, anchor: str) -> Markup:
    return plot.text(text, x, y, text_anchor=anchor, fill=plot.SOFT)
