"""Agreement of the tiles on their bands: names, common names, and the platform that defines band numbers."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tilepipe.components.ingest.config import IngestConfig
from tilepipe.components.ingest.parameter_names import argument
from tilepipe.components.shared.contracts.bands import (
    are_band_numbers,
    canonical_band,
    informative_common_names,
    other_platform,
)
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
        connection: a database with the table `statements`.
        config: parameters of the step; `source_bands` replace the names of the source.

    Returns:
        The bands; no names if nobody states them.

    Raises:
        BandError: if the tiles state different bands, or different common names for a band.
    """
    query = "SELECT bands, stated_sensor, first FROM statements ORDER BY first"
    stated = [
        (tuple(bands or ()), json.loads(sensor) if sensor else {}, str(tile))
        for bands, sensor, tile in connection.execute(query).fetchall()
    ]
    named = [
        (tuple(map(canonical_band, bands)), sensor, tile)
        for bands, sensor, tile in stated
        if all(bands) and (any(sensor.get("common_names") or ()) or not are_band_numbers(bands))
    ]
    names = config.source_bands or _names((bands, tile) for bands, _, tile in named if bands)
    common = _common_names((bands, sensor.get("common_names") or [], tile) for bands, sensor, tile in named)
    found = informative_common_names(names, tuple(common.get(name, "") for name in names))
    return StatedBands(names, found, _platform(str(sensor.get("platform") or "") for _, sensor, _ in stated if sensor))


def _names(stated: Iterable[tuple[tuple[str, ...], str]]) -> tuple[str, ...]:
    first: tuple[tuple[str, ...], str] | None = None
    for bands, tile in stated:
        first = first or (bands, tile)
        if bands != first[0]:
            raise BandError(
                "All tiles must state the same bands in the same order. Received: "
                f"{first[1]} with {', '.join(first[0])}, but {tile} with {', '.join(bands)}. "
                f"Correct the items, or give the true order, such as {argument('source_bands', first[0])}."
            )
    return first[0] if first else ()


def _common_names(stated: Iterable[tuple[tuple[str, ...], Sequence[str | None], str]]) -> Mapping[str, str]:
    known: dict[str, tuple[str, str]] = {}
    for names, common_names, tile in stated:
        for name, text in zip(names, common_names, strict=False) if len(names) == len(common_names) else ():
            common = (text or "").strip().lower()
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


def _platform(platforms: Iterable[str]) -> str:
    stated = [text for text in platforms if text]
    others = {other for text in stated if (other := other_platform(text))}
    if others and any(not other_platform(text) for text in stated):
        others.add("others")
    return ", ".join(sorted(others))
