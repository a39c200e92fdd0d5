"""The KFP face of `ingest`."""

from kfp import dsl

from tilepipe.components.shared import images


@dsl.component(base_image=images.DATA, install_kfp_package=False)
def ingest_tiles(
    tiles: dsl.Output[dsl.Dataset],
    source: str,
    source_bands: list = [],
    href_rewrite: dict = {},
    snapshot: str = "",
    split_fractions: dict = {"train": 0.7, "val": 0.15, "test": 0.15},
    split_files: dict = {},
    split_property: str = "",
    seed: int = 0,
    options: dict = {},
) -> None:
    """Read a source of labelled tiles, split it, and write the tile table.

    Args:
        tiles: The tile table (Parquet), a row a tile.
        source: A static STAC catalogue (catalog.json or collection.json), a STAC-GeoParquet file, or a folder of class
            folders; a path or s3://.
        source_bands: True order of the bands in the files, where their metadata lack it or have it wrong.
        href_rewrite: Prefixes of addresses and what stands for them, such as {"https://example.org/":
            "s3://bucket/"}.
        snapshot: ISO 8601 time as of which the source is read; change it to read a source anew that has changed.
        split_fractions: Share of the tiles in train, val and test; stratified by class.
        split_files: Predefined splits as lists of file names or tile ids: {"train": "s3://bucket/train.txt", ...}.
        split_property: Predefined splits by a STAC property, such as ml-aoi:split.
        seed: Seed of the split.
        options: Rarely changed settings: kind, label_property, asset_key, name.
    """
    from pathlib import Path

    from tilepipe.components.ingest.config import IngestConfig
    from tilepipe.components.ingest.ingest import ingest
    from tilepipe.components.shared.step import step

    with step("ingest"):
        config = IngestConfig.parse(
            source=source,
            source_bands=source_bands,
            href_rewrite=href_rewrite,
            snapshot=snapshot,
            split_fractions=split_fractions,
            split_files=split_files,
            split_property=split_property,
            seed=seed,
            options=options,
        )
        tiles.uri += ".parquet"
        tiles.metadata.update(ingest(config, Path(tiles.path)))
