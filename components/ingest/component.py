"""KFP component of `ingest`."""

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
    labels: str = "required",
    workers: int = 1,
    seed: int = 0,
    options: dict = {},
) -> list:  # as the one output, `Output`: kfp.local finds a loop's items under no other name
    """Read a source of labelled tiles, select and split them, and write the tile table.

    Args:
        tiles: Tile table, one row per tile (Parquet).
        label_map: Classes in order, and the class of each of the source's labels (JSON).
        report: Tiles, classes, groups and locations per split, with a map (HTML).
        summary: Short version of the report (Markdown).
        source: Address of the tiles: a STAC API, the catalog.json of a static STAC catalog, an ItemCollection, a
            STAC-GeoParquet file, a folder, zip or tar of class folders, a table (CSV, TSV, Parquet) or a folder of
            tables, or TFRecords; a path, s3:// or https://.
        source_bands: Order of the bands in the files, if their metadata lack it or state it wrongly.
        href_rewrite: Replacements of address prefixes, such as {"https://example.org/": "s3://bucket/"}.
        snapshot: ISO 8601 time as of which the source is read; empty for none.
        query: Search of a STAC API: {"collections": [...], "bbox": [west, south, east, north], "datetime": "...",
            "filter": "CQL2", "max_items": 0}.
        columns: Columns of a table, or properties of STAC items, by role: {"label": ..., "group": ..., "image": ...,
            "datetime": ..., "id": ...}.
        where: SQL condition that a tile must meet, such as label <> 'River' AND "eo:cloud_cover" < 20.
        classes: Classes in the order of the model's outputs; [] takes all, sorted.
        recode: Class of each label to rename: {"Pasture": "Grass", "Unknown": ""}; "" drops the tiles.
        max_per_class: Maximum number of tiles per class, sampled at random; 0 takes all.
        split_by: How tiles are split: class (at random, in the same proportions per class), group (all tiles of a
            columns.group stay together), block (so do all tiles of a square on the ground) or time (the newest tiles
            are for testing).
        split_block_metres: Side of the squares on the ground in metres, for split_by block.
        split_fractions: Fraction of the tiles in train, val and test.
        split_files: Predefined splits: text files with one file name or tile id per line, {"train":
            "s3://bucket/train.txt", "val": "..."}.
        split_property: Predefined splits: the STAC property or column with the split of each tile, such as
            ml-aoi:split.
        split_merge_train_val: Merge val into train, for a final fit of which the last epoch is kept.
        labels: Whether each tile must have a label; optional is for predictions: tiles may have none, there may be no
            tile at all, and all are in the split test.
        workers: Number of pods that share the packing.
        seed: Seed of sampling and splitting.
        options: Rarely changed settings of ingest: {"asset_key": "image"}, {"band_assets": {"B04": "red"}},
            {"record_shape": [64, 48]}, {"kind": "table"} and others.

    Returns:
        The numbers of the parts to pack, `[0, ..., workers - 1]`.
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
