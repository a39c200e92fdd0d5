"""From the tile table to shards: all of them, or one worker's part."""

import contextlib
import functools
import itertools
import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tilepipe.components.pack.cache.cache import TileCache, open_cache
from tilepipe.components.pack.config import PackConfig
from tilepipe.components.pack.packing_order import Plan, find_layout, open_plan
from tilepipe.components.pack.part_manifest import Common, PackedShard, PartManifest
from tilepipe.components.pack.shards.contents import Contents, write_contents, write_quarantine
from tilepipe.components.pack.shards.writer import ShardPlan, ShardWriter
from tilepipe.components.pack.statistics.moments import Moments
from tilepipe.components.pack.statistics.tile_moments import TileMoments
from tilepipe.components.pack.tiles.reader import Layout, Record, Rejected, Tile, read_records
from tilepipe.components.shared.contracts.manifest import SPLITS, Split
from tilepipe.components.shared.errors import TileError
from tilepipe.components.shared.runtime.parallel import map_in_order
from tilepipe.components.shared.runtime.progress import Progress
from tilepipe.components.shared.storage import storage
from tilepipe.components.shared.storage.atomic import whole_folder
from tilepipe.components.shared.version import VERSION

logger = logging.getLogger("tilepipe.pack")

_IN_FLIGHT_BYTES = 256 * 1024 * 1024
_AT_ONCE = 8
"""How many tiles a reader takes at a time, where they are small: it asks for all of them before it reads the first."""
_RECORD_OVERHEAD_BYTES = 128
_LOGGED_REJECTED = 20
_MORE_REJECTED = 100
"""How many tiles beyond what may be left out are still looked at: a list of what is wrong, not a wait for hours."""


@dataclass(frozen=True)
class PackOutputs:
    """Where the results go."""

    shards: Mapping[Split, Path]
    """A folder for each split."""
    part_manifest: Path
    contents: Path
    quarantine: Path


class _Job(NamedTuple):
    """One tile, and where its record goes."""

    split: Split
    shard: int
    tile: Tile


@dataclass
class _Tally:
    """What has happened so far."""

    allowed: int
    rejected: list[tuple[str, str, str]] = field(default_factory=list)
    """Id, address and reason of each tile that was left out."""
    classes: defaultdict[tuple[Split, int], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    moments: dict[int, Moments] = field(default_factory=dict)
    """Of each training shard that is whole."""
    adding: tuple[int, TileMoments] | None = None
    """Of the training shard that is being packed: its number, and what adds its tiles up."""
    unverified: int = 0

    def reject(self, rejected: Rejected) -> None:
        tile = rejected.tile
        self.rejected.append((tile.tile_id, storage.shown(tile.uri), rejected.reason))
        if len(self.rejected) <= _LOGGED_REJECTED:
            logger.warning("left out %s: %s", tile.tile_id, rejected.reason)
        if len(self.rejected) > self.allowed + _MORE_REJECTED:
            raise too_many(self.allowed, len(self.rejected), sorted(self.rejected), "at least ")

    def count(self, job: _Job, record: Record) -> None:
        self.classes[job.split, job.shard][job.tile.label] += 1
        self.unverified += record.is_unverified
        if job.split == "train":
            # Here, and not where tiles are read: on a dozen threads at once it took three times as long, for what they
            # need pushed each other's out of the processor's cache.
            if self.adding is None or self.adding[0] != job.shard:
                self.settle()
                self.adding = job.shard, TileMoments()
            self.adding[1].add(record.image, record.mask)

    def settle(self) -> None:
        """The shard that was being packed is whole."""
        if self.adding is not None:
            number, tiles = self.adding
            self.moments[number] = tiles.moments()
            self.adding = None


def pack(config: PackConfig, tiles: Path, outputs: PackOutputs) -> PartManifest:
    """Decode every tile of a part once, and write its shards and what the merge needs: all of it, or nothing.

    The division among workers is by shards: each shard has the same name and bytes whoever packs it.

    Args:
        config: the step's parameters, with which part of how many this is.
        tiles: the tile table.
        outputs: where the results go.

    Returns:
        What was packed, as written.

    Raises:
        ArtifactError: the tile table is damaged.
        BandError: the bands have no names, unknown ones are wanted, or the pixels contradict the names.
        TileError: this part alone has more unusable tiles than the whole may have.
        StorageError: the tiles cannot be reached.
    """
    with open_plan(tiles, config.seed) as plan, open_cache(config.options.cache, plan.info.snapshot) as cache:
        return _pack(plan, config, outputs, cache)


def _pack(plan: Plan, config: PackConfig, outputs: PackOutputs, cache: TileCache | None) -> PartManifest:
    layout = find_layout(plan, config, cache)
    common = _common(plan, layout, config)
    shard_plans = _shard_plans(plan, layout, config)
    logger.info("tiles are %dx%d %s, bands %s", common.height, common.width, layout.dtype, ", ".join(layout.bands))
    tally = _Tally(common.allowed)
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
    readers = config.options.readers
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
    # In flight are twice what the readers work on, so that none waits for what they hand over to be written.
    in_flight = _IN_FLIGHT_BYTES // layout.tile_bytes
    at_once = max(1, min(_AT_ONCE, in_flight // (2 * readers)))
    window = max(2, min(2 * readers, in_flight // at_once))
    # One stream over all splits and shards: a pool that runs dry at the end of each would leave the network idle.
    jobs = _jobs(plan, shard_plans, numbers)
    batches = iter(lambda: list(itertools.islice(jobs, at_once)), [])
    with contextlib.closing(map_in_order(work, batches, threads=readers, window=window)) as results:
        for job, result in itertools.chain.from_iterable(results):
            if isinstance(result, Rejected):
                tally.reject(result)
            else:
                writers[job.split].write(job.shard, result.framed)
                contents.add(job.split, job.tile.tile_id, result.digest)
                tally.count(job, result)
            progress.advance()
    tally.settle()
    progress.finish()
    if len(tally.rejected) > tally.allowed:  # more in this part alone than in all of them: nothing needs merging
        at_least = "" if config.parts == 1 else "at least "
        raise too_many(tally.allowed, len(tally.rejected), sorted(tally.rejected), at_least)


def _jobs(plan: Plan, shard_plans: Mapping[Split, ShardPlan], numbers: Mapping[Split, Sequence[int]]) -> Iterator[_Job]:
    for split in SPLITS:
        for number in numbers[split]:
            make = functools.partial(_Job, split, number)
            yield from map(make, plan.tiles(split, shard_plans[split].places(number)))


def _shard_plans(plan: Plan, layout: Layout, config: PackConfig) -> dict[Split, ShardPlan]:
    record_bytes = layout.tile_bytes + _RECORD_OVERHEAD_BYTES
    size = config.options.shard_mebibytes
    return {split: ShardPlan.of(split, plan.counts[split], record_bytes, size) for split in SPLITS}


def _common(plan: Plan, layout: Layout, config: PackConfig) -> Common:
    height, width, _ = layout.shape
    return Common(
        tilepipe_version=VERSION,
        name=plan.info.name,
        source=plan.info.source,
        snapshot=plan.info.snapshot,
        bands=layout.bands,
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


def too_many(allowed: int, count: int, rejected: Sequence[tuple[str, str, str]], at_least: str = "") -> TileError:
    """The error that says that too many tiles cannot be used.

    Args:
        allowed: how many may be left out.
        count: how many there are.
        rejected: id, address and reason of some of them.
        at_least: what to say before the count.
    """
    return TileError(
        f"At most {allowed:,} tiles may be unusable (options.max_quarantine_percent). Received: "
        f"{at_least}{count:,} unusable tiles:{listed(rejected)}\n"
        "Mend them or take them out of the source, or raise max_quarantine_percent in the options of pack "
        "(a pipeline's pack_options) to leave them out."
    )


def listed(rejected: Sequence[tuple[str, str, str]]) -> str:
    """The first few unusable tiles, a line each."""
    lines = [f"\n  {tile_id} ({uri}): {reason}" for tile_id, uri, reason in rejected[:5]]
    return "".join(lines) + ("\n  ..." if len(rejected) > len(lines) else "")
