from kfp import dsl

from tests.pack.conftest import read_records
from tilepipe.components.pack.component import pack_tiles
from tilepipe.components.shared.manifest import read_manifest


def test_the_face(table, tmp_path):
    table.add_geotiffs(16, descriptions=("B02", "B03", "B04", "B08"))
    artifacts = {
        name: dsl.Dataset(uri=str(tmp_path / name))
        for name in ("train_shards", "val_shards", "test_shards", "manifest", "quarantine")
    }
    tiles = dsl.Dataset(uri=str(table.write()))
    pack_tiles.python_func(tiles=tiles, **artifacts, bands=["B04"], options={"shard_mebibytes": 1.0})
    manifest = read_manifest(tmp_path / "manifest.json")
    assert manifest.bands == ("B04",)
    assert (tmp_path / "quarantine.parquet").is_file()
    for split, summary in manifest.splits.items():
        assert artifacts[f"{split}_shards"].metadata == {"tiles": summary.tiles}
        assert len(list(read_records(tmp_path / f"{split}_shards"))) == summary.tiles
