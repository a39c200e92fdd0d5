"""Classes with too few tiles: merged into one class, or dropped."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

logger = logging.getLogger("tilepipe.ingest")

_SHOWN = 10


@dataclass(frozen=True)
class RareClasses:
    """Classes with fewer tiles than required."""

    counts: dict[str, int]
    """Class -> number of tiles; empty if none has too few."""
    least: int
    merged_into: str
    """Class that replaces them; empty drops their tiles."""

    @property
    def dropped(self) -> int:
        """Number of dropped tiles."""
        return 0 if self.merged_into else sum(self.counts.values())

    @property
    def _names(self) -> str:
        shown = ", ".join(list(self.counts)[:_SHOWN])
        return shown + (f" and {len(self.counts) - _SHOWN:,} more" if len(self.counts) > _SHOWN else "")

    @property
    def reason(self) -> str:
        """Reason for dropping the tiles."""
        return f"fewer than {self.least:,} tiles in the class: {self._names}"

    @property
    def sentence(self) -> str:
        """Sentence for the report; empty if no class has too few tiles."""
        if not self.counts:
            return ""
        count = len(self.counts)
        done = f"merged into {self.merged_into}" if self.merged_into else "dropped"
        return (
            f"{count:,} class{'' if count == 1 else 'es'} with fewer than {self.least:,} tiles "
            f"({sum(self.counts.values()):,} in all) {'was' if count == 1 else 'were'} {done}: {self._names}."
        )

    def apply(self, connection: "DuckDBPyConnection") -> None:
        """Merge or drop the classes in the table `chosen`."""
        if not self.counts:
            return
        names = list(self.counts)
        if self.merged_into:  # the selection logs dropped tiles
            logger.info("%s", self.sentence.rstrip("."))
            connection.execute(
                "UPDATE chosen SET label = ? WHERE list_contains(?::VARCHAR[], label)", [self.merged_into, names]
            )
        else:
            connection.execute("DELETE FROM chosen WHERE list_contains(?::VARCHAR[], label)", [names])

    def recoded(self, recode: Mapping[str, str | None]) -> dict[str, str | None]:
        """Return a recoding, label -> class, followed by that of these classes."""
        own: dict[str, str | None] = dict.fromkeys(self.counts, self.merged_into)
        return {**own, **{label: own.get(name or "", name) for label, name in recode.items()}}


def find_rare(counts: Mapping[str | None, int], least: int, merged_into: str) -> RareClasses:
    """Find the classes with too few tiles.

    Args:
        counts: class -> number of tiles; tiles without a label are ignored.
        least: minimum number of tiles per class; 0 or 1 finds none.
        merged_into: class that replaces the classes with fewer tiles and is not one of them; empty drops their tiles.

    Returns:
        The classes, sorted by name.
    """
    rare = {name: count for name, count in counts.items() if name is not None and count < least}
    rare.pop(merged_into, None)
    return RareClasses(dict(sorted(rare.items())), least, merged_into)
