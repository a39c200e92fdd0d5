"""Files of one data set that state their number, as in `train-00000-of-00010`."""

import logging
import re
from collections import defaultdict
from collections.abc import Sequence

logger = logging.getLogger("tilepipe.ingest")

_NUMBERED = re.compile(r"(?P<before>.*?)-?(?P<number>\d{5})-of-(?P<count>\d{5})(?P<after>.*)")
_SHOWN = 5


def warn_of_missing_files(names: Sequence[str]) -> None:
    """Warn of missing files whose names follow from those of the others, as after an incomplete copy."""
    found: dict[tuple[str, str, int], set[int]] = defaultdict(set)
    for name in names:
        if match := _NUMBERED.fullmatch(name):
            found[match["before"], match["after"], int(match["count"])].add(int(match["number"]))
    for (before, after, count), numbers in found.items():
        absent = [f"{before}-{number:05}-of-{count:05}{after}" for number in range(count) if number not in numbers]
        if absent:
            shown = ", ".join(absent[:_SHOWN]) + (", ..." if len(absent) > _SHOWN else "")
            logger.warning("%s of %s files are missing: %s", f"{len(absent):,}", f"{count:,}", shown)
