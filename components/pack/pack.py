"""Pack the tiles of a tile table into shards: all shards, or those of one worker."""

import contextlib
import functools
import itertools
import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tilepipe.components.pack.config import PackConfig
from tilepipe.components.pack.packing_order import Plan, find_layout, open_plan
from tilepipe.components.pack.part_manifest import PackedShard, PartManifest, SharedLayout
from tilepipe.components.pack.shards.contents import Contents, write_contents
from tilepipe.components.pack.shards.writer import ShardPlan, ShardWriter
from tilepipe.components.pack.statistics.moments import Moments
from tilepipe.components.pack.statistics.tile_moments import TileMoments
from tilepipe.components.shared.contracts.manifest import SPLITS, Split
from tilepipe.components.shared.logs.progress import Progress
from tilepipe.components.shared.storage import storage
from tilepipe.components.shared.storage.atomic import whole_folder
from tilepipe.components.shared.tiles.cache.cache import TileCache, open_cache
from tilepipe.components.shared.tiles.layout.concurrency import map_batches
from tilepipe.components.shared.tiles.quarantine import Rejection, too_many, write_quarantine
from tilepipe.components.shared.tiles.reader import Layout, Record, Rejected, Tile, read_records
from tilepipe.components.shared.version import VERSION

logger = logging.getLogger("tilepipe.pack")

_RECORD_OVERHEAD_BYTES = 128
_LOGGED_REJECTED = 20
_MORE_REJECTED = 100
"""Number of unusable tiles beyond the limit after which packing stops, instead of failing hours later."""


@dataclass(frozen=True)
class PackOutputs:
    """Output paths of the step."""

    shards: Mapping[Split, Path]
    """One folder per split."""
    part_manifest: Path
    contents: Path
    quarantine: Path


class _Job(NamedTuple):
    """One tile, and the shard for its record."""

    split: Split
    shard: int
    tile: Tile


@dataclass
class _Tally:
    """Counts and statistics of the tiles processed so far."""

    allowed: int
    """Number of tiles that may be left out, over all parts."""
    total: int
    """Number of tiles of all parts."""
    rejected: list[Rejection] = field(default_factory=list)
    classes: defaultdict[tuple[Split, int], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    moments: dict[int, Moments] = field(default_factory=dict)
    """Statistics of each finished training shard, by its number."""
    adding: tuple[int, TileMoments] | None = None
    """Number of the current training shard, and the accumulator of its statistics."""
    unverified: int = 0
    """Number of packed tiles whose checksum is of an unsupported kind."""

    def reject(self, rejected: Rejected) -> None:
        tile = rejected.tile
        self.rejected.append((tile.tile_id, storage.shown(tile.uri), rejected.reason))
        if len(self.rejected) <= _LOGGED_REJECTED:
            logger.warning("left out %s: %s", tile.tile_id, rejected.reason)
        if len(self.rejected) > self.allowed + _MORE_REJECTED:
            raise too_many(self.allowed, self.total, self.rejected, so_far=True)

    def count(self, job: _Job, record: Record) -> None:
        self.classes[job.split, job.shard][job.tile.label] += 1
        self.unverified += record.is_unverified
        if job.split == "train":
            # Computed here, not in the reader threads: with a dozen threads it took three times as long, because their
            # working sets evicted each other from the CPU cache.
            if self.adding is None or self.adding[0] != job.shard:
                self.finish_shard()
                self.adding = job.shard, TileMoments()
            self.adding[1].add(record.image, record.mask)

    def finish_shard(self) -> None:
        """Store the statistics of the current training shard."""
        if self.adding is not None:
            number, tiles = self.adding
            self.moments[number] = tiles.moments()
            self.adding = None


def pack(config: PackConfig, tiles: Path, outputs: PackOutputs) -> PartManifest:
    """Decode every tile of a part once, and write its shards and the inputs of `merge`.

    The outputs are written completely or not at all. Work is divided by shard, and a shard has the same name and bytes
    whichever worker packs it.

    Returns:
        The part manifest, as written.

    Raises:
        ArtifactError: if the tile table is damaged.
        BandError: if the bands have no names, if an unknown band is requested, or if the pixels contradict the names.
        TileError: if this part has more unusable tiles than are allowed for all parts together.
        StorageError: if the tiles cannot be reached.
    """
    with open_plan(tiles, config.seed) as plan, open_cache(config.options.cache, plan.info.snapshot) as cache:
        return _pack(plan, config, outputs, cache)


def _pack(plan: Plan, config: PackConfig, outputs: PackOutputs, cache: TileCache | None) -> PartManifest:
    layout = find_layout(plan, config, cache)
    common = _shared_layout(plan, layout, config)
    record_bytes, size = layout.tile_bytes + _RECORD_OVERHEAD_BYTES, config.options.shard_mebibytes
    shard_plans = {split: ShardPlan.of(split, plan.counts[split], record_bytes, size) for split in SPLITS}
    logger.info("tiles are %dx%d %s, bands %s", common.height, common.width, layout.dtype, ", ".join(layout.bands))
    tally = _Tally(common.allowed, common.total)
    with contextlib.ExitStack() as stack:
        writers = {}
        for split in SPLITS:
            folder = stack.enter_context(whole_folder(outputs.shards[split]))
            writers[split] = stack.enter_context(ShardWriter(folder, shard_plans[split]))
        contents = stack.enter_context(write_contents(outputs.contents))
        _pack_tiles(plan, layout, config, shard_plans, (writers, contents), tally, cache)
        packed = PartManifest(
            common=common,
            part=config.part,
            splits={split: _packed(split, writers[split], tally) for split in SPLITS},
            unverified=tally.unverified,
        )
        write_quarantine(tally.rejected, outputs.quarantine)
        packed.write(outputs.part_manifest)
    return packed


def _pack_tiles(
    plan: Plan,
    layout: Layout,
    config: PackConfig,
    shard_plans: Mapping[Split, ShardPlan],
    sinks: tuple[Mapping[Split, ShardWriter], Contents],
    tally: _Tally,
    cache: TileCache | None,
) -> None:
    writers, contents = sinks
    labels = {name: index for index, name in enumerate(plan.info.class_names)}

    def work(jobs: Sequence[_Job]) -> list[tuple[_Job, Record | Rejected]]:
        records = read_records([job.tile for job in jobs], layout=layout, labels=labels, cache=cache)
        return list(zip(jobs, records, strict=True))

    numbers = {split: shard_plan.of_part(config.part, config.parts) for split, shard_plan in shard_plans.items()}
    total = sum(len(shard_plans[split].places(number)) for split in SPLITS for number in numbers[split])
    if config.parts > 1:
        shards = sum(map(len, numbers.values()))
        logger.info("part %d of %d: %s tiles in %d shards", config.part + 1, config.parts, f"{total:,}", shards)
    progress = Progress(logger, "packed", total, "tiles")
    # One stream over all splits and shards: draining the pool after each would leave the network idle.
    jobs = _jobs(plan, shard_plans, numbers)
    read = map_batches(
        work,
        jobs,
        lambda job: job.tile,
        readers=config.options.readers,
        tile_bytes=layout.tile_bytes,
        has_cache=cache is not None,
    )
    with contextlib.closing(read) as results:
        for job, result in itertools.chain.from_iterable(results):
            if isinstance(result, Rejected):
                tally.reject(result)
            else:
                writers[job.split].write(job.shard, result.framed)
                contents.add(job.split, job.tile.tile_id, result.digest)
                tally.count(job, result)
            progress.advance(left_out=isinstance(result, Rejected))
    tally.finish_shard()
    progress.finish()
    if len(tally.rejected) > tally.allowed:  # this part exceeds the limit for all parts together
        raise too_many(tally.allowed, tally.total, tally.rejected, so_far=config.parts > 1)


def _jobs(plan: Plan, shard_plans: Mapping[Split, ShardPlan], numbers: Mapping[Split, Sequence[int]]) -> Iterator[_Job]:
    for split in SPLITS:
        for number in numbers[split]:
            make = functools.partial(_Job, split, number)
            yield from map(make, plan.tiles(split, shard_plans[split].places(number)))


def _shared_layout(plan: Plan, layout: Layout, config: PackConfig) -> SharedLayout:
    height, width, _ = layout.shape
    return SharedLayout(
        tilepipe_version=VERSION,
        name=plan.info.name,
        source=plan.info.source,
        snapshot=plan.info.snapshot,
        bands=layout.bands,
        common_names=layout.common_names,
        platform=layout.order.platform,
        product=plan.info.product,
        dtype=layout.dtype,
        height=height,
        width=width,
        nodata=layout.nodata,
        class_names=plan.info.class_names,
        seed=config.seed,
        parts=config.parts,
        planned=dict(plan.counts),
        max_quarantine_percent=config.options.max_quarantine_percent,
        allow_duplicates=config.options.allow_duplicates,
    )


def _packed(split: Split, writer: ShardWriter, tally: _Tally) -> tuple[PackedShard, ...]:
    return tuple(
        PackedShard(
            number=number,
            shard=shard,
            tiles_per_class=dict(sorted(tally.classes[split, number].items())),
            moments=tally.moments[number].to_json() if split == "train" else None,
        )
        for number, shard in writer.finish().items()
    )
