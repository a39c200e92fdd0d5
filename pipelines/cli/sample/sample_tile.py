"""Tiles of the sample: their names, seeds, locations and dates."""

import datetime
import functools
import hashlib
from dataclasses import dataclass

from tilepipe.pipelines.cli.sample.landscapes import CLASS_NAMES
from tilepipe.pipelines.cli.sample.shapes import SIZE

TILE_FOLDER = "synthetic-tiles"
"""Folder of the class folders, after which `ingest` names the data set if this folder is the source."""

PIXEL_METRES = 10
SIDE_METRES = SIZE * PIXEL_METRES

# Central Europe as a grid of 2**24 cells, one per tile: eight UTM zones of 4,096 rows of 512 columns. 512 columns are
# 328 km around the zone's meridian, which is no wider than the zone even in the northernmost row.
_FIRST_ZONE = 29
_WEST_METRES = 336_160
_SOUTH_METRES = 4_000_000
_CELLS = 2**24
# Fibonacci hashing (Knuth, The Art of Computer Programming, volume 3, section 6.4): an odd factor near the golden
# section of the grid maps neighboring numbers to distant cells, and no two to the same cell.
_SCATTER = 0x9E3779

MOST_TILES_PER_CLASS = _CELLS // len(CLASS_NAMES)

_FIRST_DAY = datetime.datetime(2018, 4, 1, 10, 30, tzinfo=datetime.UTC)
_DAYS = 180


@dataclass(frozen=True)
class Tile:
    """One tile, which is determined by these three fields."""

    class_name: str
    number: int
    """Number within the class, from 1."""
    seed: int
    """Seed of the sample."""

    @property
    def tile_id(self) -> str:
        """Id as in EuroSAT, such as `Forest_17`."""
        return f"{self.class_name}_{self.number}"

    @property
    def path(self) -> str:
        """Path of the GeoTIFF, relative to the folder of the sample."""
        return f"{TILE_FOLDER}/{self.class_name}/{self.tile_id}.tif"

    @functools.cached_property
    def entropy(self) -> int:
        """128-bit seed of all random properties of the tile."""
        # Python's `hash` differs from process to process.
        digest = hashlib.blake2b(f"{self.seed}/{self.tile_id}".encode(), digest_size=16).digest()
        return int.from_bytes(digest, "little")

    @property
    def acquired(self) -> str:
        """Time of acquisition, in the growing season of 2018, RFC 3339."""
        moment = _FIRST_DAY + datetime.timedelta(days=self.entropy % _DAYS)
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")

    @property
    def epsg(self) -> int:
        """EPSG code of the UTM zone."""
        return 32600 + _FIRST_ZONE + self._cell // 2**21

    @property
    def west_metres(self) -> int:
        """Easting of the left edge."""
        return _WEST_METRES + self._cell % 2**9 * SIDE_METRES

    @property
    def north_metres(self) -> int:
        """Northing of the upper edge."""
        return _SOUTH_METRES + (self._cell // 2**9 % 2**12 + 1) * SIDE_METRES

    @property
    def _cell(self) -> int:
        place = (self.number - 1) * len(CLASS_NAMES) + CLASS_NAMES.index(self.class_name)
        return place * _SCATTER % _CELLS


def all_tiles(tiles_per_class: int, seed: int) -> list[Tile]:
    """List the tiles of a sample, class by class."""
    return [Tile(name, number, seed) for name in CLASS_NAMES for number in range(1, tiles_per_class + 1)]
