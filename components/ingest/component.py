"""The KFP face of `ingest`."""

from kfp import dsl

from tilepipe.components.shared import images


@dsl.component(base_image=images.DATA, install_kfp_package=False)
def ingest_tiles(
    tiles: dsl.Output[dsl.Dataset],
    label_map: dsl.Output[dsl.Artifact],
    report: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
    source: str,
    source_bands: list = [],
    href_rewrite: dict = {},
    snapshot: str = "",
    query: dict = {},
    columns: dict = {},
    where: str = "",
    classes: list = [],
    recode: dict = {},
    max_per_class: int = 0,
    split_by: str = "class",
    split_block_metres: float = 0.0,
    split_fractions: dict = {"train": 0.7, "val": 0.15, "test": 0.15},
    split_files: dict = {},
    split_property: str = "",
    split_merge_train_val: bool = False,
    workers: int = 1,
    seed: int = 0,
    options: dict = {},
) -> list:  # as the one output, `Output`: kfp.local finds a loop's items under no other name
    """Read a source of labelled tiles, choose and split them, and write the tile table.

    Args:
        tiles: The tile table (Parquet), a row a tile.
        label_map: The classes in order, and what became of the source's labels (JSON).
        report: How tiles, classes, groups and places fall into the splits, with a map.
        summary: The same in short.
        source: A STAC API, a static STAC catalogue (catalog.json or collection.json), a STAC-GeoParquet file, a folder
            of class folders, a table (CSV, TSV, Parquet), or TFRecords; a path, s3:// or https://.
        source_bands: True order of the bands in the files, where their metadata lack it or have it wrong.
        href_rewrite: Prefixes of addresses and what stands for them, such as {"https://example.org/":
            "s3://bucket/"}.
        snapshot: ISO 8601 time as of which the source is read; change it to read a source anew that has changed.
        query: What is asked of a STAC API: collections, bbox, datetime, filter (CQL2), max_items.
        columns: Columns of a table, or properties of STAC items, that hold what: id, image, label, group, datetime.
        where: SQL condition that a tile must meet, on the tile table's columns and the source's own.
        classes: The classes in the order of the model's outputs; [] takes all, sorted.
        recode: What becomes of labels, such as {"Pasture": "Grass", "Unknown": ""}; "" drops the tiles.
        max_per_class: A random sample of so many tiles a class; 0 takes all.
        split_by: What the splits respect: class, group (columns.group), block (split_block_metres) or time.
        split_block_metres: Side of the squares of land that no split divides, for split_by block.
        split_fractions: Share of the tiles in train, val and test.
        split_files: Predefined splits as lists of file names or tile ids: {"train": "s3://bucket/train.txt", ...}.
        split_property: Predefined splits by a column or a STAC property, such as ml-aoi:split.
        split_merge_train_val: Whether val goes into train, for a final fit.
        workers: How many pods will pack the tiles.
        seed: Seed of sample and split.
        options: Rarely changed settings: kind, asset_key, band_assets, record_shape, name, max_class_ratio,
            allow_duplicates.

    Returns:
        The numbers of the parts that the tiles are packed in.
    """
    from pathlib import Path

    from tilepipe.components.ingest.config import IngestConfig
    from tilepipe.components.ingest.ingest import IngestOutputs, ingest
    from tilepipe.components.shared.runtime.step import step

    with step("ingest"):
        config = IngestConfig.from_arguments(locals())
        tiles.uri += ".parquet"
        label_map.uri += ".json"
        report.uri += ".html"
        paths = (Path(artifact.path) for artifact in (tiles, label_map, report, summary))
        tiles.metadata.update(ingest(config, IngestOutputs(*paths)))
    return list(range(workers))
