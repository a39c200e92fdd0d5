"""Packing and merging in one task gives the same files as two tasks, or the same errors."""

import pytest

from tests.pack.test_merge import BANDS, many, result
from tilepipe.components.pack.config import PackAllConfig
from tilepipe.components.pack.pack_all import PackAllOutputs, pack_all
from tilepipe.components.shared.contracts.manifest import SPLITS
from tilepipe.components.shared.errors import TileError


def pack_in_one_task(tiles, folder, **options):
    outputs = PackAllOutputs(
        {split: folder / split for split in SPLITS},
        *(folder / name for name in ("manifest.json", "contents.parquet", "q.parquet")),
    )
    return pack_all(PackAllConfig(options=options), tiles, outputs)


def test_one_task_gives_the_files_of_two(table, run, tmp_path):
    tiles, options = many(table), {"shard_mebibytes": 1, "max_quarantine_percent": 5}
    manifest = run(tiles, "two", 1, options=options)
    assert pack_in_one_task(tiles, tmp_path / "one", **options) == manifest
    whole = result(tmp_path / "two")
    assert len(whole) > 8
    assert result(tmp_path / "one") == whole
    (contents,) = (tmp_path / "two").rglob("contents.parquet")
    assert (tmp_path / "one" / "contents.parquet").read_bytes() == contents.read_bytes()


def test_what_merge_refuses_is_refused(table, tmp_path):
    table.add_geotiffs(8, descriptions=BANDS)
    for split in ("train", "test"):
        table.add(f"twin-{split}", table.folder / "0.tif", split=split)
    with pytest.raises(TileError, match="Identical pixels"):
        pack_in_one_task(table.write(), tmp_path / "one")
    assert not (tmp_path / "one" / "manifest.json").exists()
