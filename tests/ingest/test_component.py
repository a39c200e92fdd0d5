from kfp import dsl

from tilepipe.components.ingest.component import ingest_tiles
from tilepipe.components.shared.tile_table import read_tile_table


def test_the_face(class_folders, tmp_path, monkeypatch):
    """What KFP runs is the body alone: it gets numbers in structs as floats, and adds the suffix to the address."""
    tiles = dsl.Dataset(uri=str(tmp_path / "tiles"))
    fractions = {"train": 0.5, "val": 0.5, "test": 0.0}
    ingest_tiles.python_func(tiles=tiles, source=str(class_folders(count=4)), split_fractions=fractions, seed=1)
    assert tiles.uri.endswith("tiles.parquet")
    assert tiles.metadata["train_tiles"] == 6
    table, _ = read_tile_table(tmp_path / "tiles.parquet")
    assert table.num_rows == 12
