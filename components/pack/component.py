"""The KFP face of `pack`."""

from kfp import dsl

from tilepipe.components.shared import images


@dsl.component(base_image=images.DATA, install_kfp_package=False)
def pack_tiles(
    tiles: dsl.Input[dsl.Dataset],
    train_shards: dsl.Output[dsl.Dataset],
    val_shards: dsl.Output[dsl.Dataset],
    test_shards: dsl.Output[dsl.Dataset],
    manifest: dsl.Output[dsl.Artifact],
    quarantine: dsl.Output[dsl.Dataset],
    bands: list = [],
    seed: int = 0,
    options: dict = {},
) -> None:
    """Decode every tile once, and write shards, the manifest and the quarantine.

    Args:
        tiles: The tile table.
        train_shards: Folder of TFRecord files with the training tiles.
        val_shards: The same for validation.
        test_shards: The same for testing; empty where there is no such split.
        manifest: What the shards hold (JSON): bands, shape, classes, counts, statistics, checksums.
        quarantine: Tiles that were left out, and why (Parquet).
        bands: Names of the bands to keep, in order; [] keeps all.
        seed: Seed of the order of the tiles.
        options: Rarely changed settings: shard_mebibytes, check_band_identity, max_quarantine_percent, readers.
    """
    from pathlib import Path

    from tilepipe.components.pack.config import PackConfig
    from tilepipe.components.pack.pack import PackOutputs, pack
    from tilepipe.components.shared.step import step

    with step("pack"):
        config = PackConfig.parse(bands=bands, seed=seed, options=options)
        manifest.uri += ".json"
        quarantine.uri += ".parquet"
        shards: dict = {"train": train_shards, "val": val_shards, "test": test_shards}
        folders = {split: Path(artifact.path) for split, artifact in shards.items()}
        packed = pack(config, Path(tiles.path), PackOutputs(folders, Path(manifest.path), Path(quarantine.path)))
        for split, artifact in shards.items():
            artifact.metadata["tiles"] = packed.splits[split].tiles
