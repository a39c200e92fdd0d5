"""Create the tile table from a source of labelled tiles."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tilepipe.components.ingest.config import IngestConfig, SourceKind
from tilepipe.components.ingest.label_map import write_label_map
from tilepipe.components.ingest.parameter_names import argument
from tilepipe.components.ingest.report.facts import IngestReport, make_report
from tilepipe.components.ingest.report.report_page import render_page
from tilepipe.components.ingest.report.report_summary import render_summary
from tilepipe.components.ingest.selection import choose, columns_of
from tilepipe.components.ingest.sources.detect import open_source
from tilepipe.components.ingest.sources.source_view import ColumnSource, open_source_view
from tilepipe.components.ingest.sources.tile_row import TileSource
from tilepipe.components.ingest.splits.predefined import has_split_folders, keep_unselected, lacks_val
from tilepipe.components.ingest.splits.splits import split_tiles
from tilepipe.components.ingest.stated_bands import StatedBands, find_stated_bands
from tilepipe.components.ingest.stated_product import find_product
from tilepipe.components.ingest.stated_raster import check_raster, find_scaling
from tilepipe.components.ingest.statements import collect_statements, drop_statements
from tilepipe.components.shared.contracts.manifest import SPLITS
from tilepipe.components.shared.contracts.product import Product
from tilepipe.components.shared.contracts.tile_table import (
    SCALING,
    SCHEMA,
    RecordFeature,
    TileTableInfo,
    write_tile_table,
)
from tilepipe.components.shared.errors import SourceError, SplitError
from tilepipe.components.shared.runtime.database import lock, open_database, quoted
from tilepipe.components.shared.storage import storage
from tilepipe.components.shared.storage.atomic import write_whole

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

logger = logging.getLogger("tilepipe.ingest")

_BATCH_ROWS = 65_536
_ALWAYS_WRITTEN = {
    "columns": {"id", "image", "label", "group", "datetime"},
    "options": {"kind", "asset_key", "band_assets", "record_shape", "name", "max_class_ratio", "allow_duplicates"},
}
"""Settings that every tile table names; others only if they are set, so that tables without them keep their bytes."""


@dataclass(frozen=True)
class IngestOutputs:
    """Paths of the outputs."""

    tiles: Path
    label_map: Path
    report: Path
    summary: Path


def ingest(config: IngestConfig, outputs: IngestOutputs) -> dict[str, str | int]:
    """Read a source, select and split its tiles, and write the tile table, the label map and the report.

    Args:
        config: the step's parameters.
        outputs: paths of the outputs; the same source and parameters give the same bytes.

    Returns:
        Name of the data set, number of tiles and classes, and number of tiles in each split.

    Raises:
        SourceError: if the source is missing, empty or malformed, or lacks labels.
        BandError: if the source's statements of the bands contradict each other.
        SplitError: if the tiles cannot be split as requested, or the same tile is in two splits.
        ParameterError: if a parameter does not fit the source.
        StorageError: if the disk or the bucket cannot be read.
    """
    wanted = columns_of(config.where)
    source = open_source(config, wanted)
    with open_database() as connection:
        with open_source_view(source, connection, wanted) as files:
            lock(connection, files)
            selected, selection = choose(connection, config)
            if config.split_files and selection.left_out:
                keep_unselected(connection)
        collect_statements(connection)
        bands = find_stated_bands(connection, config)
        options = config.options
        nodata = check_raster(
            connection, allow_mixed_scaling=options.allow_mixed_scaling, apply_scaling=options.apply_scaling
        )
        scaling = find_scaling(connection, needs_labels=config.needs_labels) if options.apply_scaling else None
        product = find_product(connection, source.name)
        if scaling is not None:
            product = product.scaled()
        drop_statements(connection)
        if isinstance(source, ColumnSource):
            source.resolve_addresses(connection)
        _check_ids(connection, config, source.kind)
        by_folders, without_val = has_split_folders(connection, config), lacks_val(connection, config)
        unlisted = split_tiles(connection, config)
        _sort(connection)
        counts, class_names = _check_splits(connection, config, selected)
        info = _info(config, source, class_names, bands, nodata, product).model_copy(update={"scaling": scaling})
        split_how = _split_how(config, by_folders=by_folders, without_val=without_val)
        left_out = selection.left_out + ((("not listed in split_files", unlisted),) if unlisted else ())
        report = make_report(connection, info, replace(selection, left_out=left_out, split_how=split_how))
        _check_duplicates(report, config)
        _write(connection, info, outputs.tiles)
    write_label_map(report, outputs.label_map)
    for path, text in ((outputs.report, render_page(report)), (outputs.summary, render_summary(report))):
        write_whole(path, text)
    return _summary(info, counts, sum(count for _, count in report.selection.left_out))


def _check_ids(connection: "DuckDBPyConnection", config: IngestConfig, kind: SourceKind) -> None:
    without = connection.execute("SELECT count(*) FROM chosen WHERE tile_id IS NULL OR tile_id = ''").fetchall()[0][0]
    if without:
        raise SourceError(f"Each tile must have an id. Received: {without:,} without one, in {config.source}.")
    repeated = connection.execute(
        "SELECT tile_id, count(*) OVER () FROM chosen GROUP BY tile_id HAVING count(*) > 1 ORDER BY tile_id LIMIT 3"
    ).fetchall()
    if repeated:
        raise SourceError(
            f"Each tile must have a unique id. Received: {repeated[0][1]:,} ids that occur more than once, such as "
            f"{', '.join(name for name, _ in repeated)}, in {config.source}. {_remedy_of_ids(connection, kind)}"
        )
    wrong = connection.execute(
        "SELECT tile_id, checksum FROM chosen WHERE checksum IS NOT NULL "
        "AND NOT regexp_full_match(checksum, '([0-9a-f][0-9a-f])+') ORDER BY tile_id LIMIT 1"
    ).fetchall()
    if wrong:
        raise SourceError(
            "A file:checksum must be a multihash in hexadecimal or multibase. "
            f"Received: {wrong[0][1]!r} in item {wrong[0][0]} ({config.source})."
        )


def _remedy_of_ids(connection: "DuckDBPyConnection", kind: SourceKind) -> str:
    if kind != "table":
        if kind.startswith("stac"):
            return (
                "The ids of STAC items are unique within a collection only: read one collection at a time, or give the "
                "items ids that are unique in the source."
            )
        return "Give the tiles ids that are unique in the source."
    is_ecotaxa = connection.execute("SELECT count(tilepipe_label_status) > 0 FROM chosen").fetchall()[0][0]
    example = argument("columns", {"id": "object_id" if is_ecotaxa else "id"})
    return f"Name a column with unique ids, such as {example}, or remove the repeated rows."


def _columns(connection: "DuckDBPyConnection", table: str) -> list[str]:
    """Return the names of the columns of the tile table, with `SCALING` if a table has it."""
    described = connection.execute(f"DESCRIBE {table}").fetchall()
    return SCHEMA.names + [SCALING.name for name, *_ in described if name == SCALING.name]


def _sort(connection: "DuckDBPyConnection") -> None:
    columns = ", ".join(f"chosen.{quoted(name)}" for name in _columns(connection, "chosen") if name != "split")
    connection.execute(
        f"""
        CREATE TABLE tiles AS SELECT {columns}, places.split FROM chosen JOIN places ON chosen.rowid = places.row
        ORDER BY tile_id
        """  # noqa: S608
    )
    connection.execute("DROP TABLE chosen")
    connection.execute("DROP TABLE places")


def _check_splits(
    connection: "DuckDBPyConnection", config: IngestConfig, selected: tuple[str, ...]
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Return the number of tiles per split and the classes in order; check that no required split or class is empty."""
    query = "SELECT split, label, count(*) FROM tiles GROUP BY ALL"
    pairs = {(split, label): count for split, label, count in connection.execute(query).fetchall()}
    counts: dict[str, int] = {split: sum(count for (of, _), count in pairs.items() if of == split) for split in SPLITS}
    if not config.needs_labels:
        return counts, selected
    needed = ["train"] if config.split_merge_train_val else ["train", "val"]
    missing = [split for split in needed if not counts[split]]
    if missing:
        raise SplitError(
            f"The splits {' and '.join(needed)} must {'both ' if len(needed) > 1 else ''}have tiles. "
            f"Received: none in {' and '.join(missing)}, and {counts} in all. Add tiles to the empty splits"
            + ("" if "train" in missing else f", or train without val: {argument('split_merge_train_val', True)}")
            + "."
        )
    present = {label for _, label in pairs}  # predefined splits may leave a class out
    class_names = tuple(name for name in selected if name in present or config.classes)
    untrained = [name for name in class_names if not pairs.get(("train", name))]
    if untrained:
        raise SplitError(
            f"Each class must have tiles in train. Received: {', '.join(untrained)} with none. "
            f"Correct the predefined splits, use split_by=class, or drop the class with "
            f"{argument('recode', {untrained[0]: ''})}."
        )
    for split in SPLITS[1:]:
        absent = [name for name in class_names if not pairs.get((split, name))]
        if counts[split] and absent:
            logger.warning("%s has no tiles of %s: its metrics do not cover these classes", split, ", ".join(absent))
    return counts, class_names


def _info(
    config: IngestConfig,
    source: TileSource,
    class_names: tuple[str, ...],
    bands: StatedBands,
    nodata: tuple[str | None, ...],
    product: Product,
) -> TileTableInfo:
    features: tuple[RecordFeature, ...] = getattr(source, "record_features", ())
    left_out = {"source", "snapshot", "source_bands", "workers"} | ({"labels"} if config.needs_labels else set())
    query = config.model_dump(mode="json", exclude=left_out)
    for group, always in _ALWAYS_WRITTEN.items():
        given = getattr(config, group).model_dump(mode="json", exclude_defaults=True)
        query[group] = {name: value for name, value in query[group].items() if name in always or name in given}
    return TileTableInfo(
        name=config.options.name or source.name,
        source=storage.shown(config.source),  # a web address may contain a signature
        source_kind=source.kind,
        query=query,
        snapshot=config.snapshot,
        bands=bands.names,
        bands_stated_by="user" if config.source_bands else "metadata" if bands.names else "nobody",
        common_names=bands.common_names,
        platform=bands.platform,
        nodata=nodata,
        product=product,
        record_features=features,
        class_names=class_names,
    )


def _split_how(config: IngestConfig, *, by_folders: bool, without_val: bool) -> str:
    """Describe how the tiles were split, such as `by class, 70 / 15 / 15 %, seed 0`."""
    if not config.needs_labels:
        how = "all in one, for predictions"
    elif config.split_files or config.split_property:
        how = "from split_files" if config.split_files else f"from {config.split_property}"
    elif by_folders:
        how = "from the folders"
    else:
        shares = " / ".join(f"{100 * config.split_fractions.get(split, 0):g}" for split in SPLITS)
        size = f" of {config.split_block_metres:g} m" if config.split_by == "block" else ""
        how = f"by {config.split_by}{size}, {shares} %" + (f", seed {config.seed}" if config.split_by != "time" else "")
    if without_val:
        how += "; val is taken from train"
    if config.split_merge_train_val:
        how += "; train and val merged"
    return how


def _check_duplicates(report: IngestReport, config: IngestConfig) -> None:
    duplicates = report.duplicates
    if not duplicates.checksums or config.options.allow_duplicates:
        return
    allowed = {"allow_duplicates": True}
    examples = "; ".join(
        " = ".join(f"{tile} ({split})" for tile, split in example.tiles) for example in duplicates.examples[:3]
    )
    raise SplitError(
        "The same tile must not be in two splits, or metrics are computed on tiles of the training set. Received: "
        f"{duplicates.tiles:,} tiles that share {duplicates.checksums:,} checksums across splits, such as {examples}. "
        f"{_remedy_of_duplicates(config)}, or allow them with "
        f"{argument('options', allowed)} {argument('pack_options', allowed)}."
    )


def _remedy_of_duplicates(config: IngestConfig) -> str:
    if config.split_files or config.split_property or config.split_by == "class":
        return "Remove one of each, or the wrong one if their classes differ"
    return "Remove one of each, keep them together with split_by=class"


def _write(connection: "DuckDBPyConnection", info: TileTableInfo, path: Path) -> None:
    columns = ", ".join(map(quoted, _columns(connection, "tiles")))
    relation = connection.sql(f"SELECT {columns} FROM tiles ORDER BY rowid")  # noqa: S608
    write_tile_table(relation.to_arrow_reader(_BATCH_ROWS), info, path)


def _summary(info: TileTableInfo, counts: dict[str, int], left_out: int) -> dict[str, str | int]:
    tiles = sum(counts.values())
    logger.info(
        "%s (%s): %s tiles of %d classes%s; %s; %s",
        info.name,
        info.source_kind,
        f"{tiles:,}",
        len(info.class_names),
        f" ({left_out:,} left out)" if left_out else "",
        ", ".join(f"{split} {counts[split]:,}" for split in SPLITS),
        f"bands {', '.join(info.bands)}, stated by {info.bands_stated_by}" if info.bands else "bands not stated",
    )
    return {
        "name": info.name,
        "tiles": tiles,
        "classes": len(info.class_names),
        **{f"{split}_tiles": counts[split] for split in SPLITS},
    }
