"""Colors of the report: blue for right, orange for wrong, distinguishable with any color vision."""

from tilepipe.components.shared.pages.style import ACCENT, ALERT

LEVELS = 9
"""Number of steps of each ramp, not counting white."""

RIGHT = ACCENT
WRONG = ALERT
INK = "#0a1016"


def ramp(color: str, level: int, background: str = "#ffffff") -> str:
    """Compute a color of the ramp from the background (level 0) to `color` (level `LEVELS`), as `#rrggbb`."""
    share = level / LEVELS
    pairs = zip(_channels(color), _channels(background), strict=True)
    return "#" + "".join(f"{round(ground + (channel - ground) * share):02x}" for channel, ground in pairs)


def ink_on(background: str, ink: str = INK) -> str:
    """Choose ink or white for text, whichever has the higher contrast (WCAG 2) with the background."""
    dark = _contrast(_luminance(ink), _luminance(background))
    white = _contrast(1.0, _luminance(background))
    return ink if dark >= white else "#ffffff"


def right_level(share: float) -> int:
    """Compute the level for the fraction of a class that is right."""
    return round(share * LEVELS)


def wrong_level(share: float) -> int:
    """Compute the level for the fraction of a class in a mistake; the square root makes small fractions visible."""
    return max(1, round(share**0.5 * LEVELS)) if share > 0 else 0


def _channels(color: str) -> bytes:
    """Return red, green and blue of `#rrggbb`, from 0 to 255."""
    return bytes.fromhex(color[1:])


def _luminance(color: str) -> float:
    # https://www.w3.org/TR/WCAG22/#dfn-relative-luminance
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in _channels(color))]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)
