"""From the tile table to shards, the manifest and the quarantine."""

import contextlib
import functools
import hashlib
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tilepipe.components.pack.config import PackConfig
from tilepipe.components.pack.plan import Plan, find_layout, make_plan
from tilepipe.components.pack.shards import ShardWriter
from tilepipe.components.pack.statistics import Moments
from tilepipe.components.pack.tile_reader import Layout, Record, Rejected, read_record
from tilepipe.components.shared.atomic import whole_file, whole_folder
from tilepipe.components.shared.bounded import map_in_order
from tilepipe.components.shared.errors import TileError
from tilepipe.components.shared.manifest import SPLITS, BandStatistics, Manifest, Shard, Split, SplitSummary
from tilepipe.components.shared.progress import Progress
from tilepipe.components.shared.version import VERSION

logger = logging.getLogger("tilepipe.pack")

_IN_FLIGHT_BYTES = 256 * 1024 * 1024
_RECORD_OVERHEAD_BYTES = 128
_LOGGED_REJECTED = 20
_MORE_REJECTED = 100
"""How many tiles beyond what may be left out are still looked at: a list of what is wrong, not a wait for hours."""


@dataclass(frozen=True)
class PackOutputs:
    """Where the results go."""

    shards: Mapping[Split, Path]
    """A folder for each split."""
    manifest: Path
    quarantine: Path


@dataclass
class _Tally:
    """What has happened so far."""

    allowed: int
    rejected: list[Rejected] = field(default_factory=list)
    packed: Counter[tuple[Split, str]] = field(default_factory=Counter)
    unverified: int = 0
    moments: Moments | None = None

    def reject(self, rejected: Rejected) -> None:
        self.rejected.append(rejected)
        if len(self.rejected) <= _LOGGED_REJECTED:
            logger.warning("left out %s: %s", rejected.tile.tile_id, rejected.reason)
        if len(self.rejected) > self.allowed + _MORE_REJECTED:
            raise _too_many(self, "at least ")

    def count(self, split: Split, record: Record) -> None:
        self.packed[split, record.tile.label] += 1
        self.unverified += record.is_unverified
        if record.moments is not None:
            self.moments = record.moments if self.moments is None else self.moments.merged(record.moments)


def pack(config: PackConfig, tiles: Path, outputs: PackOutputs) -> Manifest:
    """Decode every tile once, and write shards, manifest and quarantine: all of them, or nothing.

    Args:
        config: the step's parameters.
        tiles: the tile table.
        outputs: where the results go.

    Returns:
        The manifest, as written.

    Raises:
        ArtifactError: the tile table is damaged.
        BandError: the bands have no names, unknown ones are wanted, or the pixels contradict the names.
        TileError: more tiles are unusable than may be left out, or a class or split has none left.
        StorageError: the tiles cannot be reached.
    """
    plan = make_plan(tiles, config.seed)
    layout = find_layout(plan, config)
    height, width, _ = layout.shape
    logger.info("tiles are %dx%d %s, bands %s", height, width, layout.dtype, ", ".join(layout.bands))
    tally = _Tally(allowed=int(plan.table.num_rows * config.options.max_quarantine_percent / 100))
    progress = Progress(logger, "packed", plan.table.num_rows, "tiles")
    with contextlib.ExitStack() as folders:
        shards = {}
        for split in SPLITS:
            folder = folders.enter_context(whole_folder(outputs.shards[split]))
            shards[split] = _pack_split(split, plan, layout, config, folder, tally, progress)
        progress.finish()
        statistics = _statistics(layout.bands, _check(tally, plan))
        manifest = _manifest(plan, layout, tally, shards, statistics)
        if tally.rejected:
            logger.warning("left out %s tiles in all: see the quarantine", f"{len(tally.rejected):,}")
        _write_quarantine(tally.rejected, outputs.quarantine)
        manifest.write(outputs.manifest)
    return manifest


def _pack_split(
    split: Split,
    plan: Plan,
    layout: Layout,
    config: PackConfig,
    folder: Path,
    tally: _Tally,
    progress: Progress,
) -> tuple[Shard, ...]:
    options = config.options
    work = functools.partial(
        read_record,
        layout=layout,
        labels={name: index for index, name in enumerate(plan.class_names)},
        with_moments=split == "train",
    )
    window = max(2, min(4 * options.readers, _IN_FLIGHT_BYTES // layout.tile_bytes))
    record_bytes = layout.tile_bytes + _RECORD_OVERHEAD_BYTES
    with ShardWriter(folder, split, len(plan.places[split]), record_bytes, options.shard_mebibytes) as writer:
        results = map_in_order(work, plan.tiles(split), threads=options.readers, window=window)
        for place, result in enumerate(results):
            if isinstance(result, Rejected):
                tally.reject(result)
            else:
                writer.write(place, result.framed)
                tally.count(split, result)
            progress.advance()
        return writer.finish()


def _check(tally: _Tally, plan: Plan) -> Moments:
    """The training split's moments, once it is clear that enough tiles are left."""
    if tally.unverified:
        logger.warning("%s tiles have checksums of a kind that is not known, and were not verified", tally.unverified)
    if len(tally.rejected) > tally.allowed:
        raise _too_many(tally)
    tiles_per_split: Counter[Split] = Counter()
    for (split, _), count in tally.packed.items():
        tiles_per_split[split] += count
    emptied = [split for split in SPLITS if len(plan.places[split]) and not tiles_per_split[split]]
    untrained = [name for name in plan.class_names if not tally.packed["train", name]]
    if emptied or untrained or tally.moments is None:
        what = f"the split {emptied[0]}" if emptied else f"the class {', '.join(untrained)} in train"
        raise TileError(
            f"Each split, and each class in train, must keep a tile. Received: no usable tile in {what}."
            + _listed(tally.rejected)
        )
    return tally.moments


def _too_many(tally: _Tally, at_least: str = "") -> TileError:
    return TileError(
        f"At most {tally.allowed:,} tiles may be unusable (options.max_quarantine_percent). Received: "
        f"{at_least}{len(tally.rejected):,} unusable tiles:{_listed(tally.rejected)}\n"
        "Mend them or take them out of the source, or raise max_quarantine_percent in the options of pack "
        "(a pipeline's pack_options) to leave them out."
    )


def _listed(rejected: Sequence[Rejected]) -> str:
    lines = [f"\n  {each.tile.tile_id} ({each.tile.uri}): {each.reason}" for each in rejected[:5]]
    return "".join(lines) + ("\n  ..." if len(rejected) > len(lines) else "")


def _manifest(
    plan: Plan,
    layout: Layout,
    tally: _Tally,
    shards: Mapping[Split, tuple[Shard, ...]],
    statistics: tuple[BandStatistics, ...],
) -> Manifest:
    checksums = "".join(shard.checksum for split in SPLITS for shard in shards[split])
    height, width, _ = layout.shape
    return Manifest(
        tilepipe_version=VERSION,
        name=plan.info.name,
        source=plan.info.source,
        snapshot=plan.info.snapshot,
        digest=hashlib.sha256(checksums.encode()).hexdigest(),
        bands=layout.bands,
        dtype=layout.dtype,
        height=height,
        width=width,
        class_names=plan.class_names,
        splits={split: _summary(split, plan, tally, shards[split]) for split in SPLITS},
        statistics=statistics,
    )


def _summary(split: Split, plan: Plan, tally: _Tally, shards: tuple[Shard, ...]) -> SplitSummary:
    per_class = {name: tally.packed[split, name] for name in plan.class_names}
    return SplitSummary(tiles=sum(per_class.values()), tiles_per_class=per_class, shards=shards)


def _statistics(bands: Sequence[str], moments: Moments) -> tuple[BandStatistics, ...]:
    statistics = tuple(
        BandStatistics(band=band, mean=mean, std=std, minimum=minimum, maximum=maximum)
        for band, mean, std, minimum, maximum in zip(
            bands,
            moments.mean.tolist(),
            moments.std.tolist(),
            moments.minimum.tolist(),
            moments.maximum.tolist(),
            strict=True,
        )
    )
    constant = [each.band for each in statistics if each.std == 0]
    if constant:
        logger.warning("the same number in every pixel of train: %s", ", ".join(constant))
    return statistics


def _write_quarantine(rejected: Sequence[Rejected], path: Path) -> None:
    table = pa.table(
        {
            "tile_id": pa.array([each.tile.tile_id for each in rejected], pa.string()),
            "uri": pa.array([each.tile.uri for each in rejected], pa.string()),
            "reason": pa.array([each.reason for each in rejected], pa.string()),
        }
    )
    with whole_file(path) as partial:
        pq.write_table(table, partial)
