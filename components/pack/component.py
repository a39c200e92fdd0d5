"""KFP components of `pack`: packing one part, merging all parts, and both in one task."""

from typing import NamedTuple

from kfp import dsl

from tilepipe.components.shared import images


@dsl.component(base_image=images.DATA, install_kfp_package=False)
def pack_tiles(
    tiles: dsl.Input[dsl.Dataset],
    train_shards: dsl.Output[dsl.Dataset],
    val_shards: dsl.Output[dsl.Dataset],
    test_shards: dsl.Output[dsl.Dataset],
    part_manifest: dsl.Output[dsl.Artifact],
    contents: dsl.Output[dsl.Dataset],
    quarantine: dsl.Output[dsl.Dataset],
    bands: list = [],
    seed: int = 0,
    options: dict = {},
    part: str = "0",
    parts: int = 1,
) -> NamedTuple("Outputs", [("train_uri", str), ("val_uri", str)]):  # type: ignore[valid-type] # KFP reads them here
    """Decode every tile of a part once, and write its shards and the tables that `merge_packed` needs.

    Args:
        tiles: Tile table (Parquet).
        train_shards: Folder of TFRecord files with this part's training tiles.
        val_shards: Folder of TFRecord files with this part's validation tiles.
        test_shards: Folder of TFRecord files with this part's test tiles; empty without a test split.
        part_manifest: Contents of this part's shards (JSON).
        contents: One row per packed tile, with a digest of its pixels (Parquet).
        quarantine: Tiles of this part that were left out, with reasons (Parquet).
        bands: Names of the bands to train on, in order; [] takes all.
        seed: Seed of the tile order.
        options: Rarely changed settings of pack: {"cache": "s3://bucket/cache"}, {"max_quarantine_percent": 5},
            {"tile_size": [64, 64]} and others.
        part: Index of this worker's part of the shards, from 0.
        parts: Number of parts; the shards are the same for any number.

    Returns:
        train_uri: Address of this part's training shards, for training that streams them.
        val_uri: Address of this part's validation shards.
    """
    from collections import namedtuple
    from pathlib import Path

    from tilepipe.components.pack.config import PackConfig
    from tilepipe.components.pack.pack import PackOutputs, pack
    from tilepipe.components.shared.runtime.step import step

    with step("pack"):
        config = PackConfig.from_arguments(locals())
        part_manifest.uri += ".json"
        contents.uri, quarantine.uri = contents.uri + ".parquet", quarantine.uri + ".parquet"
        shards: dict = {"train": train_shards, "val": val_shards, "test": test_shards}
        folders = {split: Path(artifact.path) for split, artifact in shards.items()}
        files = [Path(artifact.path) for artifact in (part_manifest, contents, quarantine)]
        packed = pack(config, Path(tiles.path), PackOutputs(folders, *files))
        for split, artifact in shards.items():
            artifact.metadata["tiles"] = packed.tiles[split]
    uris = (shards[split].uri for split in ("train", "val"))
    return namedtuple("Outputs", ["train_uri", "val_uri"])(*uris)  # noqa: PYI024 - what KFP's executor takes


@dsl.component(base_image=images.DATA, install_kfp_package=False)
def merge_packed(
    part_manifests: dsl.Input[list[dsl.Artifact]],
    contents: dsl.Input[list[dsl.Dataset]],
    quarantines: dsl.Input[list[dsl.Dataset]],
    manifest: dsl.Output[dsl.Artifact],
    quarantine: dsl.Output[dsl.Dataset],
) -> None:
    """Check all parts as a whole, and write one manifest; no shard is copied.

    Args:
        part_manifests: Contents of the parts' shards (JSON).
        contents: Packed tiles of the parts (Parquet).
        quarantines: Tiles that the parts left out (Parquet).
        manifest: Contents of all shards: bands, shape, classes, counts, statistics, checksums (JSON).
        quarantine: All tiles that were left out, with reasons (Parquet).
    """
    from pathlib import Path

    from tilepipe.components.pack.merge import MergeInputs, manifest_metadata, merge
    from tilepipe.components.shared.runtime.step import step

    with step("merge"):
        manifest.uri, quarantine.uri = manifest.uri + ".json", quarantine.uri + ".parquet"
        inputs = MergeInputs(
            *([Path(a.path) for a in artifacts] for artifacts in (part_manifests, contents, quarantines))
        )
        merged = merge(inputs, Path(manifest.path), Path(quarantine.path))
        manifest.metadata.update(manifest_metadata(merged, [table.uri for table in contents]))


@dsl.component(base_image=images.DATA, install_kfp_package=False)
def pack_all_tiles(
    tiles: dsl.Input[dsl.Dataset],
    train_shards: dsl.Output[dsl.Dataset],
    val_shards: dsl.Output[dsl.Dataset],
    test_shards: dsl.Output[dsl.Dataset],
    manifest: dsl.Output[dsl.Artifact],
    contents: dsl.Output[dsl.Dataset],
    quarantine: dsl.Output[dsl.Dataset],
    bands: list = [],
    seed: int = 0,
    options: dict = {},
) -> None:
    """Do the work of `pack_tiles` and `merge_packed` in one task, for a pipeline with one worker.

    Args:
        tiles: Tile table (Parquet).
        train_shards: Folder of TFRecord files with the training tiles.
        val_shards: Folder of TFRecord files with the validation tiles.
        test_shards: Folder of TFRecord files with the test tiles; empty without a test split.
        manifest: Contents of all shards: bands, shape, classes, counts, statistics, checksums (JSON).
        contents: One row per packed tile, with a digest of its pixels (Parquet).
        quarantine: Tiles that were left out, with reasons (Parquet).
        bands: Names of the bands to train on, in order; [] takes all.
        seed: Seed of the tile order.
        options: Rarely changed settings of pack: {"cache": "s3://bucket/cache"}, {"max_quarantine_percent": 5},
            {"tile_size": [64, 64]} and others.
    """
    from pathlib import Path

    from tilepipe.components.pack.config import PackAllConfig
    from tilepipe.components.pack.merge import manifest_metadata
    from tilepipe.components.pack.pack_all import PackAllOutputs, pack_all
    from tilepipe.components.shared.runtime.step import step

    with step("pack"):
        config = PackAllConfig.from_arguments(locals())
        manifest.uri += ".json"
        contents.uri, quarantine.uri = contents.uri + ".parquet", quarantine.uri + ".parquet"
        shards: dict = {"train": train_shards, "val": val_shards, "test": test_shards}
        folders = {split: Path(artifact.path) for split, artifact in shards.items()}
        files = [Path(artifact.path) for artifact in (manifest, contents, quarantine)]
        packed = pack_all(config, Path(tiles.path), PackAllOutputs(folders, *files))
        for split, artifact in shards.items():
            artifact.metadata["tiles"] = packed.splits[split].tiles
        manifest.metadata.update(manifest_metadata(packed, [contents.uri]))
