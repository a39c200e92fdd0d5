from pathlib import Path

from kfp import dsl

from tests.support.tile_tables import read_tile_table
from tilepipe.components.ingest.component import ingest_tiles


def test_the_face(class_folders, tmp_path, monkeypatch):
    """Call the function's body as KFP does: numbers in structs are floats, and the suffix is added to the address."""
    tiles = dsl.Dataset(uri=str(tmp_path / "tiles"))
    fractions = {"train": 0.5, "val": 0.5, "test": 0.0}
    others = {
        "label_map": dsl.Artifact(uri=str(tmp_path / "label_map")),
        "report": dsl.HTML(uri=str(tmp_path / "report")),
        "summary": dsl.Markdown(uri=str(tmp_path / "summary")),
    }
    returned = ingest_tiles.python_func(
        tiles=tiles, **others, source=str(class_folders(count=4)), split_fractions=fractions, workers=3, seed=1
    )
    assert list(returned) == [0, 1, 2]
    assert all(Path(artifact.path).stat().st_size for artifact in others.values())
    assert tiles.uri.endswith("tiles.parquet")
    assert tiles.metadata["train_tiles"] == 6
    table, _ = read_tile_table(tmp_path / "tiles.parquet")
    assert table.num_rows == 12
