"""The KFP faces of `pack`: one worker's part, and the merge of all parts."""

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
    part: str = "0",  # KFP turns an item of a loop into text, and refuses text where a number is declared
    parts: int = 1,
    options: dict = {},
) -> NamedTuple("Outputs", [("train_uri", str), ("val_uri", str)]):  # type: ignore[valid-type] # KFP reads them here
    """Decode every tile of a part once, and write its shards and what `merge_packed` needs.

    Args:
        tiles: The tile table.
        train_shards: Folder of TFRecord files with this part's training tiles.
        val_shards: The same for validation.
        test_shards: The same for testing; empty where there is no such split.
        part_manifest: What this part's shards hold (JSON).
        contents: A row a packed tile, with a digest of its pixels (Parquet).
        quarantine: Tiles of this part that were left out, and why (Parquet).
        bands: Names of the bands to keep, in order; [] keeps all.
        seed: Seed of the order of the tiles.
        part: Which part of the shards to pack, from 0.
        parts: How many parts there are; the shards are the same with any number.
        options: Rarely changed settings: shard_mebibytes, check_band_identity, max_quarantine_percent,
            allow_duplicates, tile_size, resampling, nodata_fill, max_nodata_percent, cache, readers.

    Returns:
        train_uri: Where this part's training shards are, for a training that streams them.
        val_uri: The same for validation.
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
    """Judge all parts as a whole, and write the one manifest; no shard is copied.

    Args:
        part_manifests: What the parts' shards hold.
        contents: Which tiles the parts hold.
        quarantines: What the parts left out.
        manifest: What all shards hold (JSON): bands, shape, classes, counts, statistics, checksums.
        quarantine: Tiles that were left out, and why (Parquet).
    """
    from pathlib import Path

    from tilepipe.components.pack.merge import MergeInputs, merge
    from tilepipe.components.shared.runtime.step import step

    with step("merge"):
        manifest.uri, quarantine.uri = manifest.uri + ".json", quarantine.uri + ".parquet"
        inputs = MergeInputs(
            *([Path(a.path) for a in artifacts] for artifacts in (part_manifests, contents, quarantines))
        )
        merged = merge(inputs, Path(manifest.path), Path(quarantine.path))
        manifest.metadata.update(digest=merged.digest, tiles=sum(split.tiles for split in merged.splits.values()))
