"""Colors of classes, the same in the class map, the STAC item and the preview."""

import colorsys
from collections.abc import Mapping, Sequence

from tilepipe.components.shared.errors import ParameterError

Color = tuple[int, int, int]

# Twelve colors that stay apart for most kinds of color vision: https://colorbrewer2.org/#type=qualitative&scheme=Paired
# in an order in which neighbors differ in hue.
_PALETTE = (
    "#1f78b4", "#e31a1c", "#33a02c", "#ff7f00", "#6a3d9a", "#b15928",
    "#a6cee3", "#fb9a99", "#b2df8a", "#fdbf6f", "#cab2d6", "#ffff99",
)  # fmt: skip
_GOLDEN_RATIO = 0.618033988749895


def class_colors(names: Sequence[str], given: Mapping[str, str]) -> tuple[Color, ...]:
    """Choose a color for each class.

    Args:
        names: Names of the classes.
        given: Colors of some of them, such as `#1b7837`.

    Returns:
        Red, green and blue of each class, 0 to 255; the first twelve are a fixed palette.

    Raises:
        ParameterError: A color is given for a name that is not of a class.
    """
    if unknown := sorted(set(given) - set(names)):
        raise ParameterError(
            f"`class_colors` must be colors of the model's classes: {', '.join(names)}. Received: class_colors with "
            f"{', '.join(unknown)}."
        )
    return tuple(_rgb(given.get(name) or _default(place)) for place, name in enumerate(names))


def hexadecimal(color: Color) -> str:
    """Return a color as six hexadecimal digits."""
    return "".join(f"{part:02x}" for part in color)


def _default(place: int) -> str:
    if place < len(_PALETTE):
        return _PALETTE[place]
    hue = (place - len(_PALETTE)) * _GOLDEN_RATIO % 1.0
    red, green, blue = colorsys.hls_to_rgb(hue, 0.35 + 0.3 * (place % 3) / 2, 0.65)
    return "#" + hexadecimal((round(255 * red), round(255 * green), round(255 * blue)))


def _rgb(text: str) -> Color:
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)
