"""Check of class names: names that look alike, or like a missing value, are usually not distinct classes."""

import logging
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from tilepipe.components.ingest.parameter_names import argument
from tilepipe.components.shared.errors import SourceError

logger = logging.getLogger("tilepipe.ingest")

_MISSING = {"nan", "na", "n/a", "none", "null", "<na>", "?"}
_SHOWN = 10
_BETWEEN_LABELS = re.compile(r"[\s,;|]+")


def check_class_names(names: Sequence[str]) -> None:
    """Check that class names differ visibly, and warn of those that look alike or combine several labels.

    Raises:
        SourceError: if two names differ only in their Unicode form, as file names of macOS do.
    """
    if same := _alike(names, lambda name: unicodedata.normalize("NFC", name)):
        raise SourceError(
            "Names of classes must differ visibly. Received: "
            f"{', '.join(same)}, each in several Unicode forms. Use one: {argument('recode', same)}."
        )
    if alike := _alike(names, _plain):
        pairs = ", ".join(f"{one} and {other}" for one, other in list(alike.items())[:_SHOWN])
        logger.warning("classes look alike: %s; merge them with %s", pairs, argument("recode", alike))
    if missing := [name for name in names if name.strip().lower() in _MISSING]:
        recode = argument("recode", dict.fromkeys(missing, ""))
        logger.warning("classes look like missing labels: %s; drop them with %s", ", ".join(missing), recode)
    if labels := _combined_labels(names):
        logger.warning(
            "classes look like lists of several labels (%s): each of the %d combinations is a class of its own. If a "
            "tile may have several labels, write the one to learn into a column, such as one of two classes: with or "
            "without %s",
            ", ".join(labels[:_SHOWN]),
            len(names),
            labels[0],
        )


def _combined_labels(names: Sequence[str]) -> list[str]:
    """Return the labels that class names combine, the most frequent first; empty if they are names of one label each.

    Names of single classes seldom share all of their words, and differ in their number, as `clear primary` and
    `clear primary water` do.
    """
    combinations = [{word for word in _BETWEEN_LABELS.split(name) if word} for name in names]
    counts = Counter(word for words in combinations for word in sorted(words))
    lengths = [len(words) for words in combinations]
    is_mostly_several = 2 * sum(length > 1 for length in lengths) > len(names) and len(set(lengths)) > 1
    is_combined = is_mostly_several and len(counts) < len(names) and min(counts.values()) > 1
    return [word for word, _ in counts.most_common()] if is_combined else []


def _alike(names: Sequence[str], key: Callable[[str], str]) -> dict[str, str]:
    """Return name -> first name with the same key, for all but the first of each key."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[key(name)].append(name)
    return {other: first for first, *others in groups.values() for other in others}


def _plain(name: str) -> str:
    """Return a key in which case, spaces, underscores, hyphens and the form of a number do not matter."""
    text = "".join(unicodedata.normalize("NFKC", name).casefold().replace("_", " ").replace("-", " ").split())
    whole, point, decimals = text.partition(".")
    return whole if point and whole.isdecimal() and not decimals.strip("0") else text
