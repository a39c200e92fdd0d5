"""Which tile of the sample: its name, its seed, and where and when it would have been seen."""

import datetime
import functools
import hashlib
from dataclasses import dataclass

from tilepipe.pipelines.cli.sample.landscapes import CLASS_NAMES
from tilepipe.pipelines.cli.sample.shapes import SIZE

TILE_FOLDER = "synthetic-tiles"
"""Read as a folder of class folders, the sample goes by this name."""

PIXEL_METRES = 10
SIDE_METRES = SIZE * PIXEL_METRES

# Central Europe as a board of 2**24 cells, one a tile: eight UTM zones of 4,096 rows of 512 columns. 512 columns are
# 328 km around the zone's meridian, which is no wider than the zone even in the northernmost row.
_FIRST_ZONE = 29
_WEST_METRES = 336_160
_SOUTH_METRES = 4_000_000
_CELLS = 2**24
# Fibonacci hashing (Knuth, The Art of Computer Programming, volume 3, section 6.4): an odd factor near the golden
# section of the board deals neighbouring numbers far apart, and no cell twice.
_SCATTER = 0x9E3779

MOST_TILES_PER_CLASS = _CELLS // len(CLASS_NAMES)

_FIRST_DAY = datetime.datetime(2018, 4, 1, 10, 30, tzinfo=datetime.UTC)
_DAYS = 180


@dataclass(frozen=True)
class Tile:
    """One tile; everything about it follows from these three."""

    class_name: str
    number: int
    """Within the class, from 1."""
    seed: int
    """Of the sample."""

    @property
    def tile_id(self) -> str:
        """Named as in EuroSAT, such as `Forest_17`."""
        return f"{self.class_name}_{self.number}"

    @property
    def path(self) -> str:
        """Of the GeoTIFF, from the sample's folder."""
        return f"{TILE_FOLDER}/{self.class_name}/{self.tile_id}.tif"

    @functools.cached_property
    def entropy(self) -> int:
        """128 bits that seed everything random about the tile."""
        # Not Python's hash, which differs from process to process.
        digest = hashlib.blake2b(f"{self.seed}/{self.tile_id}".encode(), digest_size=16).digest()
        return int.from_bytes(digest, "little")

    @property
    def acquired(self) -> str:
        """When the tile would have been seen, in the growing season of 2018, RFC 3339."""
        moment = _FIRST_DAY + datetime.timedelta(days=self.entropy % _DAYS)
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")

    @property
    def epsg(self) -> int:
        """Code of the UTM zone."""
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
    """The tiles of a sample, class by class."""
    return [Tile(name, number, seed) for name in CLASS_NAMES for number in range(1, tiles_per_class + 1)]
