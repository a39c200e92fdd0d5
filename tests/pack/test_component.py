import json

from kfp import dsl

from tests.pack.conftest import read_records
from tilepipe.components.pack.component import merge_packed, pack_all_tiles, pack_tiles
from tilepipe.components.shared.contracts.manifest import read_manifest


def test_the_face(table, tmp_path):
    table.add_geotiffs(16, descriptions=("B02", "B03", "B04", "B08"))
    tiles = dsl.Dataset(uri=str(table.write()))
    parts = [
        {
            name: dsl.Dataset(uri=str(tmp_path / str(part) / name))
            for name in ("train_shards", "val_shards", "test_shards", "part_manifest", "contents", "quarantine")
        }
        for part in range(2)
    ]
    for part, artifacts in enumerate(parts):
        pack_tiles.python_func(
            tiles=tiles, **artifacts, bands=["B04"], part=part, parts=2, options={"shard_mebibytes": 1.0}
        )
        assert all((tmp_path / str(part) / name).is_file() for name in ("contents.parquet", "quarantine.parquet"))
    merged = {name: dsl.Dataset(uri=str(tmp_path / name)) for name in ("manifest", "quarantine")}
    merge_packed.python_func(
        part_manifests=[artifacts["part_manifest"] for artifacts in parts],
        contents=[artifacts["contents"] for artifacts in parts],
        quarantines=[artifacts["quarantine"] for artifacts in parts],
        **merged,
    )
    manifest = read_manifest(tmp_path / "manifest.json")
    assert manifest.bands == ("B04",)
    tables = [artifacts["contents"].uri for artifacts in parts]
    assert merged["manifest"].metadata == {"digest": manifest.digest, "tiles": 16, "contents": json.dumps(tables)}
    assert (tmp_path / "quarantine.parquet").is_file()
    for split, summary in manifest.splits.items():
        folders = [tmp_path / str(part) / f"{split}_shards" for part in range(2)]
        counts = [len(list(read_records(folder))) for folder in folders]
        assert [artifacts[f"{split}_shards"].metadata["tiles"] for artifacts in parts] == counts
        assert sum(counts) == summary.tiles


def test_the_component_that_packs_all(table, tmp_path):
    table.add_geotiffs(16, descriptions=("B02", "B03", "B04", "B08"))
    names = ("train_shards", "val_shards", "test_shards", "manifest", "contents", "quarantine")
    artifacts = {name: dsl.Dataset(uri=str(tmp_path / name)) for name in names}
    pack_all_tiles.python_func(tiles=dsl.Dataset(uri=str(table.write())), **artifacts, bands=["B04"])
    manifest = read_manifest(tmp_path / "manifest.json")
    assert manifest.bands == ("B04",)
    contents = json.dumps([artifacts["contents"].uri])
    assert artifacts["manifest"].metadata == {"digest": manifest.digest, "tiles": 16, "contents": contents}
    assert all((tmp_path / f"{name}.parquet").is_file() for name in ("contents", "quarantine"))
    for split, summary in manifest.splits.items():
        assert artifacts[f"{split}_shards"].metadata["tiles"] == summary.tiles
        assert len(list(read_records(tmp_path / f"{split}_shards"))) == summary.tiles
