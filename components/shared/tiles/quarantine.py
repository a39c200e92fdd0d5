"""The tiles that are left out as unusable: their limit, their description and their table."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tilepipe.components.shared.errors import TileError
from tilepipe.components.shared.storage.atomic import whole_file

Rejection = tuple[str, str, str]
"""Id, URI and reason of a tile that was left out."""

QUARANTINE = pa.schema([pa.field(name, pa.string(), nullable=False) for name in ("tile_id", "uri", "reason")])
"""One row per tile that was left out."""

_NUMBER = re.compile(r"\d[\d,.]*")
_OTHER_SHAPE = re.compile(
    r"it is (?P<size>\d+x\d+) pixels of (?P<bands>\d+) bands?, "
    r"where the tiles are (?:(?P<wanted>\d+x\d+) )?pixels of (?P<kept>\d+) bands?"
)
_KINDS = 5
_OTHER = "other reasons"


def too_many(
    allowed: int,
    total: int,
    rejected: Sequence[Rejection],
    *,
    so_far: bool = False,
    parameter: str = "pack_options",
) -> TileError:
    """Build the error for too many unusable tiles.

    Args:
        allowed: number of tiles that may be left out.
        total: number of tiles of all parts.
        rejected: the unusable tiles.
        so_far: whether there may be more than these. Defaults to False.
        parameter: a pipeline's name for the options. Defaults to `pack_options`.

    Returns:
        The error, for the caller to raise.
    """
    percent = passing_percent(len(rejected), total)
    remedy = "Repair them or remove them from the source"
    if percent is not None:
        needed = "These tiles alone need" if so_far else "To leave them out, set"
        remedy += f". {needed}, with any other options inside the braces:\n"
        remedy += f"{parameter}='{{\"max_quarantine_percent\": {percent}}}'"
    else:
        remedy += "; no tile would be left."
    remedy += _conversions([reason for _, _, reason in rejected], parameter)
    return TileError(
        f"At most {allowed:,} of {total:,} tiles may be unusable (max_quarantine_percent). Received: "
        f"{'at least ' if so_far else ''}{len(rejected):,} unusable tiles:{listed(sorted(rejected))}\n{remedy}"
    )


def _conversions(reasons: Sequence[str], parameter: str) -> str:
    """Name the options that make tiles of other sizes, or of other numbers of channels, usable."""
    remedy = ""
    found = [match for reason in reasons if (match := _OTHER_SHAPE.match(reason))]
    if sized := next((match for match in found if match["wanted"] and match["size"] != match["wanted"]), None):
        height, width = sized["wanted"].split("x")
        remedy += f"\nTo resize all tiles, set {parameter}='{{\"tile_size\": [{height}, {width}]}}'."
        remedy += ' Add "fit": "pad" to keep their proportions.'
    mixed = [
        match
        for match in found
        if match["bands"] != match["kept"] and int(match["bands"]) <= 4 and "after conversion" not in match.string
    ]
    if kept := next((match["kept"] for match in mixed if match["kept"] in "13"), ""):
        channels = "rgb" if kept == "3" else "grey"
        remedy += f'\nTo convert all images, set {parameter}=\'{{"channels": "{channels}"}}\'.'
    return remedy


def passing_percent(count: int, total: int) -> str | None:
    """Find a short percentage of `total` that is at least `count`; None if only 100 % is."""
    for digits in range(10):
        unit = 10**digits
        scaled = -(-count * 100 * unit // total)
        while allowed_tiles(scaled / unit, total) < count:  # floating-point rounding
            scaled += 1
        # Round no further than 1.5 times what is needed.
        if scaled < 100 * unit and scaled * total <= 150 * unit * count:
            return f"{scaled / unit:.{digits}f}"
    return None


def allowed_tiles(percent: float, total: int) -> int:
    """Compute how many of `total` tiles may be left out."""
    return int(total * percent / 100)


def listed(rejected: Sequence[Rejection]) -> str:
    """Format the first five unusable tiles, one per line."""
    lines = [f"\n  {tile_id} ({uri}): {reason}" for tile_id, uri, reason in rejected[:5]]
    return "".join(lines) + ("\n  ..." if len(rejected) > len(lines) else "")


def count_by_reason(rejected: Sequence[Rejection]) -> dict[str, int]:
    """Count the tiles for each reason, the most frequent first.

    Reasons that differ only in numbers, such as sizes, count as one, with `N` for a number. Beyond five reasons the
    rest is `other reasons`.
    """
    reasons = [reason for _, _, reason in rejected]
    groups = Counter(map(_without_numbers, reasons))
    spelled = {_without_numbers(reason): reason for reason in reasons}
    distinct = Counter(map(_without_numbers, set(reasons)))
    ordered = sorted(groups.items(), key=lambda group: (-group[1], group[0]))
    counts = {spelled[kind] if distinct[kind] == 1 else kind: tiles for kind, tiles in ordered[:_KINDS]}
    if rest := sum(tiles for _, tiles in ordered[_KINDS:]):
        counts[_OTHER] = rest
    return counts


def _without_numbers(reason: str) -> str:
    return _NUMBER.sub("N", reason)


def write_quarantine(rejected: Sequence[Rejection], path: Path) -> None:
    """Write id, URI and reason of the tiles that were left out, in any order; the same tiles give the same bytes."""
    columns = zip(*sorted(rejected), strict=True) if rejected else ((), (), ())
    arrays = [pa.array(column, pa.string()) for column in columns]
    with whole_file(path) as partial:
        pq.write_table(pa.table(arrays, schema=QUARANTINE), partial, compression="zstd")


def read_quarantine(paths: Sequence[Path]) -> list[Rejection]:
    """Read the id, URI and reason of each tile that was left out, sorted by id."""
    rows = [row for path in paths for row in pq.read_table(path).to_pylist()]
    return sorted((row["tile_id"], row["uri"], row["reason"]) for row in rows)
