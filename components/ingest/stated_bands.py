"""Agreement of the tiles on their bands: names, common names, and the platform that defines band numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tilepipe.components.ingest.config import IngestConfig
from tilepipe.components.ingest.parameter_names import argument
from tilepipe.components.shared.contracts.bands import canonical_band, informative_common_names, other_platform
from tilepipe.components.shared.errors import BandError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@dataclass(frozen=True)
class StatedBands:
    """The bands of all tiles, as stated by the source or the user."""

    names: tuple[str, ...] = ()
    common_names: tuple[str, ...] = ()
    """One per band, or empty if they say no more than the names."""
    platform: str = ""
    """Platforms of the tiles, if any does not number its bands as Sentinel-2 does."""


def find_stated_bands(connection: "DuckDBPyConnection", config: IngestConfig) -> StatedBands:
    """Return the bands that all tiles state.

    Args:
        connection: a database with the table `chosen`.
        config: parameters of the step; `source_bands` replace the names of the source.

    Returns:
        The bands; no names if nobody states them.

    Raises:
        BandError: if the tiles state different bands, or different common names for a band.
    """
    names = config.source_bands or _names(connection)
    common = _common_names(connection)
    found = informative_common_names(names, tuple(common.get(name, "") for name in names))
    return StatedBands(names, found, _platform(connection))


def _names(connection: "DuckDBPyConnection") -> tuple[str, ...]:
    query = "SELECT bands, min(tile_id) AS first FROM chosen WHERE bands IS NOT NULL GROUP BY bands ORDER BY first"
    stated = [
        (tuple(canonical_band(name) for name in names), tile)
        for names, tile in connection.execute(query).fetchall()
        if names
    ]
    different = next(((bands, tile) for bands, tile in stated if bands != stated[0][0]), None)
    if different is not None:
        raise BandError(
            "All tiles must state the same bands in the same order. Received: "
            f"{stated[0][1]} with {', '.join(stated[0][0])}, but {different[1]} with {', '.join(different[0])}. "
            f"Correct the items, or give the true order, such as {argument('source_bands', stated[0][0])}."
        )
    return stated[0][0] if stated else ()


def _common_names(connection: "DuckDBPyConnection") -> Mapping[str, str]:
    query = (
        "SELECT bands, common_names, min(tile_id) AS first FROM "
        "(SELECT bands, tile_id, json_extract_string(stated_sensor, '$.common_names[*]') AS common_names FROM chosen) "
        "WHERE bands IS NOT NULL AND len(common_names) = len(bands) GROUP BY ALL ORDER BY first"
    )
    known: dict[str, tuple[str, str]] = {}
    for names, common_names, tile in connection.execute(query).fetchall():
        for name, common in zip(map(canonical_band, names), common_names, strict=True):
            if not common:
                continue
            before, first = known.setdefault(name, (common, tile))
            if before != common:
                raise BandError(
                    "All tiles must state the same common name for a band. Received: "
                    f"{name} is {before} in {first}, but {common} in {tile}. "
                    "Select the tiles of one sensor with data_where, or correct the items."
                )
    return {name: common for name, (common, _) in known.items()}


def _platform(connection: "DuckDBPyConnection") -> str:
    query = (
        "SELECT DISTINCT json_extract_string(stated_sensor, '$.platform') FROM chosen WHERE stated_sensor IS NOT NULL"
    )
    stated = [str(text) for (text,) in connection.execute(query).fetchall() if text]
    others = {other for text in stated if (other := other_platform(text))}
    if others and any(not other_platform(text) for text in stated):
        others.add("others")
    return ", ".join(sorted(others))
