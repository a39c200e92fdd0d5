from tilepipe.pipelines.cli.sample.landscapes import CLASS_NAMES
from tilepipe.pipelines.cli.sample.sample_tile import MOST_TILES_PER_CLASS, Tile, all_tiles


def test_names_are_as_in_eurosat() -> None:
    tile = Tile("SeaLake", 12, 0)
    assert tile.tile_id == "SeaLake_12"
    assert tile.path == "synthetic-tiles/SeaLake/SeaLake_12.tif"


def test_no_two_tiles_share_a_place() -> None:
    tiles = all_tiles(500, seed=0)
    assert len({(tile.epsg, tile.west_metres, tile.north_metres) for tile in tiles}) == len(tiles)


def test_places_are_scattered_over_the_zones_and_inside_them() -> None:
    tiles = [*all_tiles(100, seed=0), *(Tile(name, MOST_TILES_PER_CLASS, 0) for name in CLASS_NAMES)]
    assert {tile.epsg for tile in tiles} == set(range(32629, 32637))
    assert all(336_160 <= tile.west_metres <= 663_200 for tile in tiles)
    assert all(4_000_640 <= tile.north_metres <= 6_621_440 for tile in tiles)


def test_randomness_depends_on_seed_class_and_number() -> None:
    tiles = [Tile("Forest", 1, 0), Tile("Forest", 2, 0), Tile("River", 1, 0), Tile("Forest", 1, 1)]
    assert len({tile.entropy for tile in tiles}) == 4
    # The exact number: no platform or version may change the effect of a seed.
    assert Tile("Forest", 1, 0).entropy == 286081030776286661085820496184769836233
