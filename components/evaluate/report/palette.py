"""The report's colours: blue for what is right, orange for what is wrong, told apart with any colour vision."""

from tilepipe.components.shared.pages.style import ACCENT, ALERT

LEVELS = 9
"""Steps of each ramp, beside white."""

RIGHT = ACCENT
WRONG = ALERT
INK = "#0a1016"


def ramp(colour: str, level: int) -> str:
    """Colour of a step of a ramp from white to `colour`, as `#rrggbb`; level 0 is white, `LEVELS` is `colour`."""
    share = level / LEVELS
    return "#" + "".join(f"{round(255 + (channel - 255) * share):02x}" for channel in _channels(colour))


def ink_on(background: str) -> str:
    """Whichever of dark ink and white contrasts more with a background, as WCAG 2 counts contrast."""
    dark = _contrast(_luminance(INK), _luminance(background))
    white = _contrast(1.0, _luminance(background))
    return INK if dark >= white else "#ffffff"


def right_level(share: float) -> int:
    """Step for a class's share of right answers."""
    return round(share * LEVELS)


def wrong_level(share: float) -> int:
    """Step for a mistake's share of a class; the root makes small shares, the usual ones, visible."""
    return max(1, round(share**0.5 * LEVELS)) if share > 0 else 0


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _luminance(colour: str) -> float:
    # https://www.w3.org/TR/WCAG22/#dfn-relative-luminance
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in _channels(colour))]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)
