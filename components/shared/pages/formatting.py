"""Formatting of numbers and names for reports and summaries."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence

from tilepipe.components.shared.contracts.manifest import Split
from tilepipe.components.shared.pages.markup import Markup, element, join

SPLIT_NAMES: Mapping[Split, str] = {"train": "training", "val": "validation", "test": "test"}

TIMES = "\u00d7"  # between the sides of a tile
DASH = "\u2013"  # between the ends of a range, and instead of a missing figure
_NARROW_SPACE = "\u202f"  # no break between a number and its unit
_GAP = "&nbsp;&nbsp;"  # Kubeflow gives cells no padding: columns would touch
_LONGEST_PART = 16
_ACTIVE = re.compile(r"([\\`*_{}\[\]()<>#.!|~&:@])")
_BREAKS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[_\-/.\s])")


def percent(share: float, digits: int = 1) -> str:
    """Format a fraction as a percentage, such as `92.3 %`; NaN gives a dash."""
    return DASH if math.isnan(share) else f"{100 * share:.{digits}f}{_NARROW_SPACE}%"


def short_percent(share: float) -> str:
    """Format a fraction as a whole percentage; values that would round to 0 or 100 give `<1 %` or `>99 %`."""
    if 0 < share < 0.005:
        return f"<1{_NARROW_SPACE}%"
    if 0.995 <= share < 1:
        return f">99{_NARROW_SPACE}%"
    return percent(share, 0)


def short_count(count: int) -> str:
    """Format a count compactly, such as `1620` or `16.2k`."""
    if count < 10_000:
        return str(count)
    return f"{count / 1000:.1f}k" if count < 100_000 else f"{count / 1000:.0f}k"


def tiles(count: int) -> str:
    """Format a number of tiles, such as `1,620 tiles`."""
    return f"{count:,} tile{'' if count == 1 else 's'}"


def shortened(text: str, characters: int) -> str:
    """Cut a text to a number of characters, of which the last is then an ellipsis."""
    return text if len(text) <= characters else f"{text[: characters - 1]}\u2026"


def breakable(name: str) -> Markup:
    """Add line-break opportunities between the words of a name, and within overlong words."""
    words = _BREAKS.split(name)
    first, *rest = (word[i : i + _LONGEST_PART] for word in words for i in range(0, max(len(word), 1), _LONGEST_PART))
    return join(first, *(join(element("wbr"), part) for part in rest))


def plain(text: str) -> str:
    """Escape text for Markdown and put it on one line."""
    return _ACTIVE.sub(r"\\\1", " ".join(text.split()))


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]], names: int = 1) -> list[str]:
    """Format a Markdown table, with names left-aligned and numbers right-aligned.

    Args:
        head: titles of the columns.
        rows: cells of each row; text from outside must be escaped with `plain`.
        names: number of leading columns that hold names. Defaults to 1.

    Returns:
        The lines of the table; none if there are no rows.
    """
    lines = ["| " + " | ".join([row[0], *(_GAP + cell for cell in row[1:])]) + " |" for row in (head, *rows)]
    if len(lines) == 1:
        return []
    return [lines[0], "|" + " --- |" * names + " ---: |" * (len(head) - names), *lines[1:]]
