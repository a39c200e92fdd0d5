"""Statements of the tiles about their product: level, platform, instrument, processing baseline, offset, unit."""

import json
from typing import TYPE_CHECKING, Any

from tilepipe.components.shared.contracts.product import Product, canonical_level

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def find_product(connection: "DuckDBPyConnection", name: str) -> Product:
    """Collect what the tiles state about their product.

    Args:
        connection: a database with the table `statements`.
        name: name of the source: the offset is no longer in the numbers of a harmonized collection.

    Returns:
        The distinct statements; none where no tile states anything.
    """
    query = "SELECT DISTINCT stated_raster, stated_sensor FROM statements"
    stated: dict[str, set[Any]] = {key: set() for key in ("level", "spacecraft", "instruments", "baseline", "unit")}
    applied: set[bool | None] = set()
    offsets: set[float | None] = set()
    for texts in connection.execute(query).fetchall():
        facts: dict[str, Any] = {}
        for text in texts:
            facts |= json.loads(text) if text else {}
        for key, values in stated.items():
            found = facts.get(key)
            values.update(str(one).strip() for one in (found if isinstance(found, list) else [found]) if one)
        flag = facts.get("offset_applied")
        applied.add(None if flag is None else str(flag).lower() == "true")
        offsets.add(_number_offset(facts))
    if "harmoni" in name.lower():
        applied = {True}
    return Product(
        levels=tuple(sorted({canonical_level(level) for level in stated["level"]})),
        platforms=tuple(sorted({platform.lower() for platform in stated["spacecraft"]})),
        instruments=tuple(sorted({instrument.lower() for instrument in stated["instruments"]})),
        baselines=tuple(sorted(stated["baseline"])),
        offset_applied=applied.pop() if len(applied) == 1 else None,
        number_offset=offsets.pop() if len(offsets) == 1 else None,
        units=tuple(sorted(stated["unit"])),
    )


def _number_offset(facts: dict[str, Any]) -> float | None:
    """Return the offset of all bands in digital numbers; None if it is not stated, or differs between bands."""
    offsets, scales = facts.get("offset") or [], facts.get("scale") or [1.0]
    if not offsets or any(value is None for value in (*offsets, *scales)):
        return None
    if len(scales) == 1:
        scales = scales * len(offsets)
    found = {round(float(offset) / float(scale), 6) for offset, scale in zip(offsets, scales, strict=False) if scale}
    return found.pop() if len(found) == 1 else None
