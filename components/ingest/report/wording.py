"""Texts common to the ingest report and its summary."""

import datetime as dt
from collections.abc import Mapping

from tilepipe.components.ingest.report.facts import Extent, IngestReport, SplitFacts
from tilepipe.components.shared.contracts.manifest import SPLITS, Split
from tilepipe.components.shared.pages.formatting import DASH, SPLIT_NAMES, tiles
from tilepipe.components.shared.pages.map_frame import degrees

STATED_BY: Mapping[str, str] = {"user": "the run's parameters", "metadata": "the source's metadata", "nobody": "nobody"}


def length(metres: float | None) -> str:
    """Format a distance such as `0 m`, `854 m`, `12.3 km` or `3,877 km`; a dash for None."""
    if metres is None:
        return DASH
    if metres < 999.5:
        return f"{metres:.0f} m" if metres >= 9.95 or metres == 0 else f"{metres:.2g} m"
    kilometres = metres / 1000
    return f"{kilometres:,.1f} km" if kilometres < 99.95 else f"{kilometres:,.0f} km"


def area(square_kilometres: float | None) -> str:
    """Format an area such as `0.41 km²` or `1,234 km²`; a dash for None."""
    if square_kilometres is None:
        return DASH
    digits = 0 if square_kilometres >= 100 else 1 if square_kilometres >= 10 else 2
    return f"{square_kilometres:,.{digits}f} km²"


def day(moment: dt.datetime | None) -> str:
    """Format a date such as `2020-06-01`; a dash for None."""
    return DASH if moment is None else f"{moment:%Y-%m-%d}"


def extent_lines(extent: Extent | None) -> tuple[str, str]:
    """Format an extent as two lines, west to east and south to north; dashes for None."""
    if extent is None:
        return DASH, DASH
    return (
        f"{degrees(extent.west, 'EW')} {DASH} {degrees(extent.east, 'EW')}",
        f"{degrees(extent.south, 'NS')} {DASH} {degrees(extent.north, 'NS')}",
    )


def bands(report: IngestReport) -> str:
    """Return the bands and the origin of their names."""
    info = report.info
    if not info.bands:
        return "not stated; pack reads them from the files"
    return f"{', '.join(info.bands)} (stated by {STATED_BY.get(info.bands_stated_by, info.bands_stated_by)})"


def present(report: IngestReport) -> list[tuple[Split, SplitFacts]]:
    """Return the splits that have tiles."""
    return [(split, report.splits[split]) for split in SPLITS if report.splits[split].tiles]


def warnings(report: IngestReport) -> list[str]:
    """Return warnings of problems that distort the metrics of a model trained on these tiles."""
    said = []
    if report.straddling_groups:
        one = report.straddling_groups == 1
        said.append(
            f"{report.straddling_groups:,} group{' is' if one else 's are'} in more than one split: results "
            "on one split are not independent of another."
        )
    if report.duplicates.tiles:
        said.append(
            f"{tiles(report.duplicates.tiles)} {'has' if report.duplicates.tiles == 1 else 'have'} an exact duplicate "
            "in another split."
        )
    unverified = report.selection.unverified
    if unverified:
        by_status = ", ".join(f"{status} {count:,}" for status, count in unverified.items())
        said.append(f"Nobody has validated the labels of {tiles(sum(unverified.values()))}: {by_status}.")
    touching = [pair for pair, metres in report.distances_metres.items() if metres == 0]
    if touching:
        pairs = ", ".join(f"{SPLIT_NAMES[one]} and {SPLIT_NAMES[other]}" for one, other in touching)
        said.append(f"Tiles of different splits are in the same place: {pairs}.")
    return said


def distances(report: IngestReport) -> list[tuple[str, float | None]]:
    """Return the pairs of the splits that have tiles, as text, and their smallest distance in metres."""
    here = {split for split, _ in present(report)}
    return [
        (f"{SPLIT_NAMES[one]} {DASH} {SPLIT_NAMES[other]}", metres)
        for (one, other), metres in report.distances_metres.items()
        if {one, other} <= here
    ]
