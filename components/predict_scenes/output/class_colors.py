"""Colors of classes, the same in the class map, the STAC item and the preview."""

import colorsys
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import count

from tilepipe.components.shared.errors import ParameterError

Color = tuple[int, int, int]

# Twelve colors that stay apart for most kinds of color vision: https://colorbrewer2.org/#type=qualitative&scheme=Paired
# in an order in which neighbors differ in hue.
_PALETTE = (
    "#e31a1c", "#6a3d9a", "#ff7f00", "#1f78b4", "#33a02c", "#fdbf6f",
    "#b2df8a", "#fb9a99", "#a6cee3", "#cab2d6", "#b15928", "#ffff99",
)  # fmt: skip
# Classes of land cover that readers of a map expect in these colors.
_USUAL = (
    (re.compile(r"water|lake|ocean|(?<![a-z])sea", re.IGNORECASE), "#1f78b4"),
    (re.compile(r"river|stream|wetland", re.IGNORECASE), "#a6cee3"),
    (re.compile(r"forest|tree|wood", re.IGNORECASE), "#33a02c"),
    (re.compile(r"grass|pasture|meadow|herbaceous|shrub", re.IGNORECASE), "#b2df8a"),
    (re.compile(r"permanent.?crop|orchard|vineyard", re.IGNORECASE), "#ff7f00"),
    (re.compile(r"crop|arable|field|farm", re.IGNORECASE), "#fdbf6f"),
    (re.compile(r"residential|urban|built|city", re.IGNORECASE), "#e31a1c"),
    (re.compile(r"industr|commercial", re.IGNORECASE), "#6a3d9a"),
    (re.compile(r"highway|road|rail", re.IGNORECASE), "#cab2d6"),
    (re.compile(r"bare|sand|desert|soil|rock", re.IGNORECASE), "#b15928"),
)
_GOLDEN_RATIO = 0.618033988749895


def class_colors(names: Sequence[str], given: Mapping[str, str]) -> tuple[Color, ...]:
    """Choose a color for each class.

    Args:
        names: Names of the classes.
        given: Colors of some of them, such as `#1b7837`.

    Returns:
        Red, green and blue of each class, 0 to 255: that of `given`, else the usual one of a class of land cover, such
        as blue for water, else the next one of a palette.

    Raises:
        ParameterError: A color is given for a name that is not of a class.
    """
    if unknown := sorted(set(given) - set(names)):
        raise ParameterError(
            f"`class_colors` must be colors of the model's classes: {', '.join(names)}. Received: class_colors with "
            f"{', '.join(unknown)}."
        )
    chosen = dict(given)
    for name in names:
        usual = next((color for pattern, color in _USUAL if pattern.search(name)), "")
        if usual and name not in chosen and usual not in chosen.values():
            chosen[name] = usual
    free = (color for color in _endless() if color not in chosen.values())
    return tuple(_rgb(chosen.get(name) or next(free)) for name in names)


def hexadecimal(color: Color) -> str:
    """Return a color as six hexadecimal digits."""
    return "".join(f"{part:02x}" for part in color)


def _endless() -> Iterator[str]:
    """Yield the palette, and then hues that are far from the ones before."""
    yield from _PALETTE
    for place in count():
        hue = place * _GOLDEN_RATIO % 1.0
        red, green, blue = colorsys.hls_to_rgb(hue, 0.35 + 0.3 * (place % 3) / 2, 0.65)
        yield "#" + hexadecimal((round(255 * red), round(255 * green), round(255 * blue)))


def _rgb(text: str) -> Color:
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)
