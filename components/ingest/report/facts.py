"""Statistics of a tile table: tiles, classes, groups, time and area of each split.

DuckDB computes them; only a sample of the tiles for the map and a few examples are loaded.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from tilepipe.components.ingest.report.distance import CENTER, EARTH_RADIUS_METRES, LOCATED, smallest_distance_metres
from tilepipe.components.shared.contracts.manifest import SPLITS, Split
from tilepipe.components.shared.contracts.tile_table import TileTableInfo

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MAP_POINTS = 3000
"""Maximum number of centers on the map."""
_FEWEST_MAP_POINTS = 150
"""Minimum number of centers per split, if it has as many."""
_EXAMPLES = 5
_EXAMPLE_TILES = 2

# The split as a bit, so that the smallest and the largest bit of a group differ if it is in several splits.
_BIT = "CASE split WHEN 'train' THEN 1 WHEN 'val' THEN 2 ELSE 4 END::UTINYINT"


@dataclass(frozen=True)
class SelectionFacts:
    """Result of the selection and description of the split."""

    found: int
    """Number of tiles in the source."""
    left_out: tuple[tuple[str, int], ...] = ()
    """Reason and number of dropped tiles."""
    recode: Mapping[str, str | None] = field(default_factory=dict)
    """Label -> class, as given and of classes with too few tiles; an empty class drops the tiles of the label."""
    dropped_labels: Mapping[str, int] = field(default_factory=dict)
    """Label -> number of tiles, for the labels without a class."""
    rare: str = ""
    """Sentence on the classes with too few tiles, which were merged or dropped; empty for none."""
    split_how: str = ""
    """Description such as `by class, 70 / 15 / 15 %, seed 0`."""
    unverified: Mapping[str, int] = field(default_factory=dict)
    """Status -> number of tiles, for labels that nobody has validated: `predicted`, `dubious`."""


class Extent(NamedTuple):
    """Extent in degrees; west is greater than east if it crosses the antimeridian."""

    west: float
    south: float
    east: float
    north: float


@dataclass(frozen=True)
class SplitFacts:
    """Statistics of one split."""

    tiles: int
    tiles_per_class: Mapping[str, int]
    groups: int
    """Number of distinct groups; 0 if tiles have none."""
    first: dt.datetime | None
    last: dt.datetime | None
    located: int
    """Number of tiles with coordinates."""
    area_km2: float | None
    """Sum over the tiles' bounding boxes on a sphere; overlaps count twice."""
    extent: Extent | None


class Duplicate(NamedTuple):
    """Tiles with the same checksum in several splits."""

    checksum: str
    tiles: tuple[tuple[str, str], ...]
    """Id and split of a few of them, at least one per split."""


@dataclass(frozen=True)
class Duplicates:
    """Exact duplicates across splits."""

    checksums: int
    """Number of checksums shared by tiles of different splits."""
    tiles: int
    """Number of tiles with such a checksum."""
    checked: int
    """Number of tiles with any checksum."""
    examples: tuple[Duplicate, ...]


@dataclass(frozen=True)
class IngestReport:
    """Content of the report, the summary and the label map."""

    info: TileTableInfo
    selection: SelectionFacts
    splits: Mapping[Split, SplitFacts]
    straddling_groups: int
    """Number of groups in more than one split, which should be 0."""
    distances_metres: Mapping[tuple[Split, Split], float | None]
    duplicates: Duplicates
    points: Mapping[Split, tuple[tuple[float, float], ...]]
    """Longitude and latitude of a sample of the centers."""

    @property
    def tiles(self) -> int:
        """Total number of tiles."""
        return sum(facts.tiles for facts in self.splits.values())

    @property
    def located(self) -> int:
        """Total number of tiles with coordinates."""
        return sum(facts.located for facts in self.splits.values())


def make_report(connection: "DuckDBPyConnection", info: TileTableInfo, selection: SelectionFacts) -> IngestReport:
    """Compute the content of the report; it does not depend on the order of the tiles.

    Args:
        connection: a database with the table `tiles`, in the columns of the tile table, with a split in each row.
        info: metadata of the tile table.
        selection: result of the selection.
    """
    return IngestReport(
        info=info,
        selection=selection,
        splits=_splits(connection),
        straddling_groups=_straddling(connection),
        distances_metres=smallest_distance_metres(connection),
        duplicates=duplicates_across_splits(connection),
        points=_points(connection),
    )


def duplicates_across_splits(connection: "DuckDBPyConnection") -> Duplicates:
    """Count the tiles of different splits in `tiles` with the same checksum, and list the first few by checksum."""
    # Hashes first: ten million checksums fit into memory as integers, but not as text.
    suspects = f"""
        SELECT checksum, tile_id, split FROM tiles WHERE hash(checksum) IN (
            SELECT hash(checksum) FROM tiles WHERE checksum IS NOT NULL
            GROUP BY hash(checksum) HAVING min({_BIT}) <> max({_BIT})
        )
    """  # noqa: S608
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE shared_checksums AS
        SELECT checksum, tile_id, split, min({_BIT}) OVER same <> max({_BIT}) OVER same AS across,
            row_number() OVER (PARTITION BY checksum, split ORDER BY tile_id) AS place
        FROM ({suspects}) WINDOW same AS (PARTITION BY checksum)
        """  # noqa: S608
    )
    checksums, tiles = _row(connection, "SELECT count(DISTINCT checksum), count(*) FROM shared_checksums WHERE across")
    found = connection.execute(
        """
        SELECT checksum, tile_id, split FROM shared_checksums
        WHERE across AND place <= ? AND checksum IN (
            SELECT DISTINCT checksum FROM shared_checksums WHERE across ORDER BY checksum LIMIT ?
        ) ORDER BY checksum, tile_id
        """,
        [_EXAMPLE_TILES, _EXAMPLES],
    ).fetchall()
    connection.execute("DROP TABLE shared_checksums")
    examples: dict[str, list[tuple[str, str]]] = {}
    for checksum, tile_id, split in found:
        examples.setdefault(checksum, []).append((tile_id, split))
    (checked,) = _row(connection, "SELECT count(checksum) FROM tiles")
    return Duplicates(checksums, tiles, checked, tuple(Duplicate(one, tuple(two)) for one, two in examples.items()))


def _splits(connection: "DuckDBPyConnection") -> dict[Split, SplitFacts]:
    classes: dict[str, dict[str, int]] = {split: {} for split in SPLITS}
    for split, label, count in connection.execute(
        "SELECT split, label, count(*) FROM tiles WHERE label IS NOT NULL GROUP BY ALL ORDER BY ALL"
    ).fetchall():
        classes[split][label] = count
    # Square metres as integers add up to the same sum in any order. Longitudes are counted from -180 and from 0; the
    # narrower of the two extents is used.
    rows = connection.execute(
        f"""
        WITH boxes AS (
            SELECT split, "group", datetime, {LOCATED} AS located, bbox.ymin AS south, bbox.ymax AS north,
                bbox.xmin - 360 * floor((bbox.xmin + 180) / 360) AS west,
                bbox.xmax - bbox.xmin + CASE WHEN bbox.xmin > bbox.xmax THEN 360 ELSE 0 END AS width
            FROM tiles
        )
        SELECT split, count(*), count(DISTINCT "group"), epoch_us(min(datetime)), epoch_us(max(datetime)),
            count(*) FILTER (located),
            sum(round({EARTH_RADIUS_METRES**2} * radians(width) * (sin(radians(north)) - sin(radians(south))))::HUGEINT)
                FILTER (located),
            min(south) FILTER (located), max(north) FILTER (located),
            min(west) FILTER (located), max(west + width) FILTER (located),
            min(west + CASE WHEN west < 0 THEN 360 ELSE 0 END) FILTER (located),
            max(west + width + CASE WHEN west < 0 THEN 360 ELSE 0 END) FILTER (located)
        FROM boxes GROUP BY split
        """  # noqa: S608
    ).fetchall()
    found: dict[str, list[Any]] = {split: figures for split, *figures in rows}
    nothing = [0, 0, None, None, 0, *[None] * 7]
    splits: dict[Split, SplitFacts] = {}
    for split in SPLITS:
        tiles, groups, first, last, located, area, south, north, *longitudes = found.get(split, nothing)
        splits[split] = SplitFacts(
            tiles=tiles,
            tiles_per_class=classes[split],
            groups=groups,
            first=_moment(first),
            last=_moment(last),
            located=located,
            area_km2=float(area) / 1e6 if area else None,  # points have no area
            extent=_extent(south, north, longitudes) if located else None,
        )
    return splits


def _extent(south: float, north: float, longitudes: list[float]) -> Extent:
    west, east = min((longitudes[:2], longitudes[2:]), key=lambda ends: ends[1] - ends[0])
    if east - west >= 360:
        return Extent(-180.0, south, 180.0, north)
    west, east = (value - 360 if value > 180 else value for value in (west, east))
    return Extent(west, south, east, north)


def _moment(microseconds: int | None) -> dt.datetime | None:
    # DuckDB returns times with a time zone only if pytz is installed.
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return None if microseconds is None else epoch + dt.timedelta(microseconds=microseconds)


def _straddling(connection: "DuckDBPyConnection") -> int:
    (count,) = _row(
        connection,
        f"""
        SELECT count(*) FROM (
            SELECT "group" FROM tiles WHERE "group" IS NOT NULL GROUP BY "group" HAVING min({_BIT}) <> max({_BIT})
        )
        """,  # noqa: S608
    )
    return count


def _points(connection: "DuckDBPyConnection") -> dict[Split, tuple[tuple[float, float], ...]]:
    """Return the centers of the tiles with the lowest MD5 of the id, a sample independent of the order of the rows."""
    counts: dict[str, int] = dict(
        connection.execute(f"SELECT split, count(*) FROM tiles WHERE {LOCATED} GROUP BY split").fetchall()  # noqa: S608
    )
    longitude, latitude = CENTER
    points: dict[Split, tuple[tuple[float, float], ...]] = {}
    for split, wanted in _shares([counts.get(split, 0) for split in SPLITS]):
        found = connection.execute(
            f"""
            SELECT {longitude} AS longitude, {latitude} AS latitude FROM tiles WHERE split = ? AND {LOCATED}
            ORDER BY md5_number(tile_id), tile_id LIMIT ?
            """,  # noqa: S608
            [split, wanted],
        ).fetchall()
        points[split] = tuple(((x + 180) % 360 - 180, y) for x, y in found)
    return points


def _shares(counts: Iterable[int]) -> list[tuple[Split, int]]:
    """Return the number of centers to draw per split: proportional, with a minimum for small splits."""
    given = list(counts)
    total = sum(given)
    if total <= MAP_POINTS:
        return list(zip(SPLITS, given, strict=True))
    least = [min(count, _FEWEST_MAP_POINTS) for count in given]
    left = MAP_POINTS - sum(least)
    return [
        (split, few + int(left * (count - few) / (total - sum(least))))
        for split, few, count in zip(SPLITS, least, given, strict=True)
    ]


def _row(connection: "DuckDBPyConnection", query: str) -> tuple[int, ...]:
    """Return the only row of an aggregate query."""
    return tuple(value for row in connection.execute(query).fetchall() for value in row)
