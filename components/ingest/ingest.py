"""From a source of labelled tiles to the tile table."""

import itertools
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from tilepipe.components.ingest.config import IngestConfig
from tilepipe.components.ingest.rows import TileRow, TileSource
from tilepipe.components.ingest.sources import open_source
from tilepipe.components.ingest.splits import split_by_files, split_by_fractions, split_by_property
from tilepipe.components.shared.errors import BandError, SourceError, SplitError
from tilepipe.components.shared.manifest import SPLITS
from tilepipe.components.shared.tile_table import SCHEMA, TileTableInfo, write_tile_table

logger = logging.getLogger("tilepipe.ingest")


def ingest(config: IngestConfig, tiles: Path) -> dict[str, str | int]:
    """Read a source, split its tiles, and write the tile table.

    Args:
        config: the step's parameters.
        tiles: where the table goes; the same source and parameters give the same bytes.

    Returns:
        The data set's name, and how many tiles and classes there are, and tiles in each split.

    Raises:
        SourceError: the source is missing, empty, malformed, or lacks labels.
        BandError: the source contradicts itself about the bands.
        SplitError: the tiles cannot be split as asked.
        StorageError: the disk or the bucket cannot be read.
    """
    source = open_source(config)
    rows = sorted(source.rows(), key=lambda row: row.tile_id)
    _check(rows, config)
    bands = config.source_bands or _stated_bands(rows)
    splits = _split(rows, config)
    kept = [(row, split) for row, split in zip(rows, splits, strict=True) if split]
    class_names = _check_classes(kept)
    info = TileTableInfo(
        name=config.options.name or source.name,
        source=config.source,
        source_kind=source.kind,
        query=config.model_dump(mode="json", exclude={"source", "snapshot", "source_bands"}),
        snapshot=config.snapshot,
        bands=bands,
        bands_stated_by="user" if config.source_bands else "metadata" if bands else "nobody",
        class_names=class_names,
    )
    write_tile_table(_table(kept), info, tiles)
    return _summary(info, kept, source)


def _check(rows: Sequence[TileRow], config: IngestConfig) -> None:
    if not rows:
        raise SourceError(f"A source must hold at least one tile. Received: source={config.source} with none.")
    repeated = [first for first, second in itertools.pairwise(rows) if first.tile_id == second.tile_id]
    if repeated:
        names = list(dict.fromkeys(row.tile_id for row in repeated))
        raise SourceError(
            f"Each tile must have an id of its own. Received: {len(names):,} ids that come more than once, such as "
            f"{', '.join(names[:3])}, in {config.source}. Give the items ids that are unique in the whole source."
        )
    labels = sorted({row.label or "" for row in rows})
    if len(labels) < 2:
        raise SourceError(
            "A classifier needs at least two classes. "
            f"Received: source={config.source} with {labels} alone. A folder's classes are the folders right below it; "
            "of STAC items, options.label_property says where the class stands."
        )


def _stated_bands(rows: Sequence[TileRow]) -> tuple[str, ...]:
    stating = [row for row in rows if row.bands]
    different = next((row for row in stating if row.bands != stating[0].bands), None)
    if different is not None:
        raise BandError(
            "All tiles must state the same bands in the same order. Received: "
            f"{stating[0].tile_id} with {', '.join(stating[0].bands)}, but {different.tile_id} with "
            f"{', '.join(different.bands)}. Mend the items, or say the true order with source_bands."
        )
    return stating[0].bands if stating else ()


def _split(rows: Sequence[TileRow], config: IngestConfig) -> Sequence[str | None]:
    if config.split_files:
        return split_by_files(rows, config.split_files)
    if config.split_property:
        return split_by_property(rows, config.split_property)
    return split_by_fractions(rows, config.split_fractions, config.seed)


def _check_classes(kept: Sequence[tuple[TileRow, str]]) -> tuple[str, ...]:
    """The class names in order, once every class can be learnt and every split that counts is there."""
    counts = Counter(split for _, split in kept)
    missing = [split for split in ("train", "val") if not counts[split]]
    if missing:
        raise SplitError(
            f"The splits train and val must both have tiles. Received: none in {' and '.join(missing)}, and "
            f"{dict(sorted(counts.items()))} in all."
        )
    class_names = tuple(sorted({row.label or "" for row, _ in kept}))
    pairs = Counter((row.label or "", split) for row, split in kept)
    untrained = [name for name in class_names if not pairs[name, "train"]]
    if untrained:
        raise SplitError(
            f"Each class must have tiles in train. Received: {', '.join(untrained)} with none. "
            "Mend the predefined splits, or use split_fractions."
        )
    for split in SPLITS[1:]:
        absent = [name for name in class_names if not pairs[name, split]]
        if counts[split] and absent:
            logger.warning("%s has no tile of %s: its figures will not tell of them", split, ", ".join(absent))
    return class_names


def _table(kept: Sequence[tuple[TileRow, str]]) -> pa.Table:
    corners = ("xmin", "ymin", "xmax", "ymax")
    columns: dict[str, list[object]] = {
        "tile_id": [row.tile_id for row, _ in kept],
        "uri": [row.uri for row, _ in kept],
        "label": [row.label for row, _ in kept],
        "split": [split for _, split in kept],
        "group": [None] * len(kept),
        "datetime": [row.datetime for row, _ in kept],
        "bbox": [dict(zip(corners, row.bbox, strict=True)) if row.bbox else None for row, _ in kept],
        "geometry": [row.geometry for row, _ in kept],
        "bytes": [row.bytes for row, _ in kept],
        "checksum": [row.checksum for row, _ in kept],
    }
    return pa.table(columns, schema=SCHEMA)


def _summary(info: TileTableInfo, kept: Sequence[tuple[TileRow, str]], source: TileSource) -> dict[str, str | int]:
    counts = Counter(split for _, split in kept)
    logger.info(
        "%s (%s): %s tiles of %d classes; %s; bands %s, stated by %s",
        info.name,
        source.kind,
        f"{len(kept):,}",
        len(info.class_names),
        ", ".join(f"{split} {counts[split]:,}" for split in SPLITS),
        ", ".join(info.bands) or "unknown",
        info.bands_stated_by,
    )
    return {
        "name": info.name,
        "tiles": len(kept),
        "classes": len(info.class_names),
        **{f"{split}_tiles": counts[split] for split in SPLITS},
    }
